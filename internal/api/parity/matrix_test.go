package parity_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

// matrix says for each operation how every door answers to a viewer, an operator, an
// admin and a platform admin of the tenant whose objects are asked for; to the same
// four of another tenant; and to nobody. A dot is success, the other letters are in
// answers. Where a stranger is denied it is for want of the permission, whatever the
// object.
var matrix = map[string]string{
	"submit_jobs":       "d... d... u",
	"query_jobs":        ".... .... u",
	"list_jobs":         ".... .... u",
	"get_job":           ".... nnnn u",
	"get_receipt":       "cccc nnnn u", // it has not completed
	"job_events":        ".... nnnn u",
	"stream_events":     ".... .... u",
	"cancel_job":        "d... dnnn u",
	"cancel_jobs":       "d... d... u", // each job has its own error
	"explain_job":       ".... nnnn u",
	"update_job":        "dccc dnnn u", // it has ended
	"pause_job":         "dccc dnnn u",
	"resume_job":        "dccc dnnn u",
	"retry_job":         "d... dnnn u",
	"bulk_jobs":         "d... d... u",
	"set_job_bandwidth": "dccc dnnn u",
	"list_profiles":     ".... .... u",
	"get_profile":       ".... nnnn u",
	"put_profile":       "dd.. dd.. u", // a stranger's becomes its own
	"delete_profile":    "dd.. ddnn u",
	"render_profile":    ".... nnnn u",
	"list_schedules":    ".... .... u",
	"create_schedule":   "d... d... u",
	"get_schedule":      ".... nnnn u",
	"set_schedule":      "d... dnnn u",
	"delete_schedule":   "d... dnnn u",
	"schedule_runs":     ".... nnnn u",
	"pause_schedule":    "d... dnnn u",
	"resume_schedule":   "d... dnnn u",
	"run_schedule":      "d... dnnn u",
	"run_retention":     "ddd. ddd. u",
	"list_nodes":        ".... .... u",
	"list_vms":          ".... .... u",
	"get_vm":            ".... .... u",
	"get_status":        ".... .... u",
	"get_whoami":        ".... .... u",
	"list_keys":         "dd.. dd.. u",
	"create_key":        "dd.. dd.. u",
	"revoke_key":        "dd.. ddnn u",
	"rotate_key":        "dd.. ddnn u",
	"list_tenants":      "dd.. dd.. u",
	"list_tenant_keys":  "dd.. nnn. u",
	"create_tenant_key": "dd.. nnn. u",
	"revoke_tenant_key": "dd.. nnn. u",
	"create_tenant":     "ddd. ddd. u",
	"get_tenant":        "dd.. nnn. u",
	"change_tenant":     "ddd. nnn. u",
	"delete_tenant":     "ddd. nnn. u",
	"pause_tenant":      "ddd. nnn. u",
	"resume_tenant":     "ddd. nnn. u",
	"tenant_usage":      "dd.. nnn. u",
	"list_webhooks":     ".... .... u",
	"create_webhook":    "dd.. dd.. u",
	"get_webhook":       ".... nnnn u",
	"set_webhook":       "dd.. ddnn u",
	"delete_webhook":    "dd.. ddnn u",
	"enable_webhook":    "dd.. ddnn u",
	"disable_webhook":   "dd.. ddnn u",
	"rotate_webhook":    "dd.. ddnn u",
	"test_webhook":      "dd.. ddnn u",
	"replay_webhook":    "dd.. ddnn u",
	"list_deliveries":   ".... nnnn u",
	"get_delivery":      ".... nnnn u",
	"resend_delivery":   "dd.. ddnn u",
	"list_audit":        "dd.. dd.. u",
	"export_audit":      "dd.. dd.. u",
	"audit_checkpoint":  "dd.. dd.. u",
	"audit_proof":       "dd.. ddn. u", // the platform reads the entries of all tenants
	"audit_consistency": "dd.. dd.. u",
	"list_audit_sinks":  "ddd. ddd. u",
}

var answers = map[rune]string{'.': "", 'd': "denied", 'n': "not_found", 'c': "conflict", 'u': "unauthenticated"}

// marks are the operations that leave a mark on the objects when they succeed: such
// a cell has objects of its own.
var marks = []string{
	"retry_job", "put_profile", "delete_profile", "create_schedule", "set_schedule", "delete_schedule", "run_schedule",
	"revoke_key", "rotate_key", "revoke_tenant_key", "create_tenant", "delete_tenant",
	"create_webhook", "set_webhook", "delete_webhook", "disable_webhook", "rotate_webhook",
}

// shows are the operations whose success may name a stranger's object: it is what
// the caller sent, or the caller sees all tenants.
var shows = []string{"cancel_jobs", "put_profile"}

// TestMatrix asks every operation through every door for a tenant's objects, as
// every role of that tenant and of another one, and without a key.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	rest := w.drivers[0].(*restDriver)
	for op, r := range rest.routes {
		if r.private && matrix[op] == "" {
			t.Errorf("%s has no row in the matrix: add one", op)
		}
	}
	for _, d := range w.drivers {
		cells := matrixCells{w: w, d: d, made: map[string]objects{}}
		for _, op := range slices.Sorted(maps.Keys(matrix)) {
			if why := rest.lacks(op); why != "" {
				t.Errorf("%s: %s", op, why)
				continue
			}
			if d.lacks(op) != "" {
				continue
			}
			for column, want := range []rune(strings.ReplaceAll(matrix[op], " ", "")) {
				cells.ask(t, op, column, answers[want])
			}
		}
	}
}

// matrixCells are the cells of one door.
type matrixCells struct {
	w    *world
	d    driver
	made map[string]objects
}

// objects returns those of a tenant, whose caller has the role: shared between cells
// unless they leave marks.
func (m *matrixCells) objects(whose string, role tenant.Role, op string, fresh bool) objects {
	id := fmt.Sprintf("%s-%s-%s", m.d.door(), whose, role)
	if fresh {
		id += "-" + strings.ReplaceAll(op, "_", "-")
	}
	o, ok := m.made[id]
	if !ok {
		if !fresh {
			op = ""
		}
		o = m.w.tenant(id, role, op)
		m.made[id] = o
	}
	return o
}

func (m *matrixCells) ask(t *testing.T, op string, column int, want string) {
	t.Helper()
	roles := tenant.Roles()
	role := roles[column%len(roles)]
	fresh := want == "" && slices.Contains(marks, op)
	whose := fmt.Sprintf("own%d", column/len(roles))
	own := m.objects(whose, role, op, fresh)
	caller, secret := "own "+string(role), own.secret
	switch {
	case column == 2*len(roles):
		caller, secret = "nobody", ""
	case column >= len(roles):
		caller, secret = "another's "+string(role), m.objects("other", role, op, fresh).secret
	}
	c := own.call(op)
	c.op, c.secret = op, secret
	got := m.d.do(t, c)
	if got.kind != want {
		t.Errorf("%s: %s by %s: %q %s, want %q (%s)", m.d.door(), op, caller, got.kind, got.code, want, got.message)
	}
	for _, secret := range []string{canary, own.signing} {
		if text := show(got); secret != "" && strings.Contains(text, secret) {
			t.Errorf("%s: %s shows %s to %s: %s", m.d.door(), op, secret, caller, text)
		}
	}
	if column >= len(roles) && role != tenant.Platform && got.kind == "" && !slices.Contains(shows, op) {
		for _, id := range []string{own.ended, own.job, own.key, own.schedule, own.webhook, own.delivery, `"` + string(own.tenant) + `"`} {
			if text := show(got.value); id != "" && strings.Contains(text, id) {
				t.Errorf("%s: %s shows %s to %s: %s", m.d.door(), op, id, caller, text)
			}
		}
	}
}

// call asks for the objects: for the job that has ended, so that streams end.
func (o objects) call(op string) call {
	c := call{id: o.ended, key: o.key}
	switch {
	case strings.HasSuffix(op, "_tenant"), strings.Contains(op, "tenant_"):
		c.id = string(o.tenant)
	case strings.HasSuffix(op, "_profile"):
		c.id = o.profile
	case strings.Contains(op, "schedule"):
		c.id = o.schedule
	case strings.HasSuffix(op, "_key"):
		c.id = o.key
	case strings.Contains(op, "webhook"), strings.Contains(op, "deliver"):
		c.id, c.key = o.webhook, o.delivery
	case op == "audit_proof":
		c.id = fmt.Sprint(o.pos)
	case op == "audit_consistency":
		c.query = obj{"from": 1}
	case op == "get_vm":
		c.id = "vm-1"
	case op == "stream_events":
		c.query = obj{"after": 0, "once": true} // it ends
	}
	c.body = o.bodies()[op]
	if op == "put_profile" {
		c.text = "defaults: {format: ova}"
	}
	return c
}

func (o objects) bodies() map[string]obj {
	weekly := obj{"name": "weekly", "cron": "@weekly", "jobs": []obj{{"vm_path": "/DC/vm/web-01"}}}
	return map[string]obj{
		"submit_jobs": {"vm_path": "/DC/vm/web-01"}, "set_job_bandwidth": {"bandwidth_limit": "20MB"},
		"query_jobs": {}, "rotate_key": {}, "render_profile": {}, "update_job": {"priority": "high"},
		"bulk_jobs":   {"action": "retry", "filter": obj{"job_ids": []string{o.ended}}, "dry_run": true},
		"cancel_jobs": {"job_ids": []string{o.ended}}, "create_key": {"name": "new", "role": "viewer"}, "create_tenant_key": {"name": "new", "role": "viewer"},
		"create_tenant": {"id": "new-" + string(o.tenant)}, "create_schedule": weekly, "set_schedule": weekly,
		"create_webhook": {"name": "new", "url": "https://hooks.example.com/" + canary}, "set_webhook": {"name": "new"},
		"replay_webhook": {"since": "2026-01-01T00:00:00Z"},
		"run_retention":  {"dry_run": true}, "change_tenant": {"weight": 2},
	}
}

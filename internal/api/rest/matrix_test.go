package rest_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// matrix says for each operation how it answers to a viewer, an operator, an
// admin and a platform admin of the tenant whose objects are asked for; to the
// same four of another tenant; and to nobody. Where a stranger gets 403 it is
// for want of the permission, whatever the object.
var matrix = map[string]string{
	"submit_jobs":       "403 202 202 202 | 403 202 202 202 | 401",
	"query_jobs":        "200 200 200 200 | 200 200 200 200 | 401",
	"list_jobs":         "200 200 200 200 | 200 200 200 200 | 401",
	"get_job":           "200 200 200 200 | 404 404 404 404 | 401",
	"get_receipt":       "409 409 409 409 | 404 404 404 404 | 401", // it has not completed
	"stream_events":     "200 200 200 200 | 200 200 200 200 | 401",
	"socket":            "426 426 426 426 | 426 426 426 426 | 401", // by plain HTTP
	"job_events":        "200 200 200 200 | 404 404 404 404 | 401",
	"cancel_job":        "403 200 200 200 | 403 404 404 404 | 401",
	"cancel_jobs":       "403 200 200 200 | 403 200 200 200 | 401", // each job has its own error
	"explain_job":       "200 200 200 200 | 404 404 404 404 | 401",
	"update_job":        "403 409 409 409 | 403 404 404 404 | 401", // it has ended
	"pause_job":         "403 409 409 409 | 403 404 404 404 | 401",
	"resume_job":        "403 409 409 409 | 403 404 404 404 | 401",
	"retry_job":         "403 200 200 200 | 403 404 404 404 | 401",
	"bulk_jobs":         "403 200 200 200 | 403 200 200 200 | 401",
	"set_job_bandwidth": "403 409 409 409 | 403 404 404 404 | 401", // it has ended
	"create_session":    "201 201 201 201 | 201 201 201 201 | 401",
	"get_session":       "404 404 404 404 | 404 404 404 404 | 401", // with a key
	"end_session":       "404 404 404 404 | 404 404 404 404 | 401",
	"list_profiles":     "200 200 200 200 | 200 200 200 200 | 401",
	"get_profile":       "200 200 200 200 | 404 404 404 404 | 401",
	"put_profile":       "403 403 200 200 | 403 403 200 200 | 401", // a stranger's becomes its own
	"delete_profile":    "403 403 200 200 | 403 403 404 404 | 401",
	"render_profile":    "200 200 200 200 | 404 404 404 404 | 401",
	"list_schedules":    "200 200 200 200 | 200 200 200 200 | 401",
	"create_schedule":   "403 201 201 201 | 403 201 201 201 | 401",
	"get_schedule":      "200 200 200 200 | 404 404 404 404 | 401",
	"set_schedule":      "403 200 200 200 | 403 404 404 404 | 401",
	"delete_schedule":   "403 204 204 204 | 403 404 404 404 | 401",
	"schedule_runs":     "200 200 200 200 | 404 404 404 404 | 401",
	"pause_schedule":    "403 200 200 200 | 403 404 404 404 | 401",
	"resume_schedule":   "403 200 200 200 | 403 404 404 404 | 401",
	"run_schedule":      "403 202 202 202 | 403 404 404 404 | 401",
	"list_webhooks":     "200 200 200 200 | 200 200 200 200 | 401",
	"create_webhook":    "403 403 201 201 | 403 403 201 201 | 401",
	"get_webhook":       "200 200 200 200 | 404 404 404 404 | 401",
	"set_webhook":       "403 403 200 200 | 403 403 404 404 | 401",
	"delete_webhook":    "403 403 204 204 | 403 403 404 404 | 401",
	"enable_webhook":    "403 403 200 200 | 403 403 404 404 | 401",
	"disable_webhook":   "403 403 200 200 | 403 403 404 404 | 401",
	"rotate_webhook":    "403 403 201 201 | 403 403 404 404 | 401",
	"test_webhook":      "403 403 202 202 | 403 403 404 404 | 401",
	"replay_webhook":    "403 403 202 202 | 403 403 404 404 | 401",
	"list_deliveries":   "200 200 200 200 | 404 404 404 404 | 401",
	"get_delivery":      "200 200 200 200 | 404 404 404 404 | 401",
	"resend_delivery":   "403 403 202 202 | 403 403 404 404 | 401",
	"run_retention":     "403 403 403 200 | 403 403 403 200 | 401",
	"list_audit":        "403 403 200 200 | 403 403 200 200 | 401",
	"export_audit":      "403 403 200 200 | 403 403 200 200 | 401",
	"audit_checkpoint":  "403 403 200 200 | 403 403 200 200 | 401",
	"audit_proof":       "403 403 200 200 | 403 403 404 200 | 401",
	"audit_consistency": "403 403 200 200 | 403 403 200 200 | 401",
	"list_audit_sinks":  "403 403 403 200 | 403 403 403 200 | 401",
	"list_nodes":        "200 200 200 200 | 200 200 200 200 | 401",
	"list_vms":          "200 200 200 200 | 200 200 200 200 | 401",
	"get_vm":            "200 200 200 200 | 200 200 200 200 | 401",
	"get_whoami":        "200 200 200 200 | 200 200 200 200 | 401",
	"get_auth_config":   "200 200 200 200 | 200 200 200 200 | 200",
	"get_status":        "200 200 200 200 | 200 200 200 200 | 401",
	"list_keys":         "403 403 200 200 | 403 403 200 200 | 401",
	"create_key":        "403 403 201 201 | 403 403 201 201 | 401",
	"revoke_key":        "403 403 200 200 | 403 403 404 404 | 401",
	"rotate_key":        "403 403 201 201 | 403 403 404 404 | 401",
	"list_tenants":      "403 403 200 200 | 403 403 200 200 | 401",

	"list_tenant_keys":  "403 403 200 200 | 404 404 404 200 | 401",
	"create_tenant_key": "403 403 201 201 | 404 404 404 201 | 401",
	"revoke_tenant_key": "403 403 200 200 | 404 404 404 200 | 401",
	"create_tenant":     "403 403 403 201 | 403 403 403 201 | 401",
	"get_tenant":        "403 403 200 200 | 404 404 404 200 | 401",
	"change_tenant":     "403 403 403 200 | 404 404 404 200 | 401",
	"delete_tenant":     "403 403 403 200 | 404 404 404 200 | 401",
	"pause_tenant":      "403 403 403 200 | 404 404 404 200 | 401",
	"resume_tenant":     "403 403 403 200 | 404 404 404 200 | 401",
	"tenant_usage":      "403 403 200 200 | 404 404 404 200 | 401",

	"get_health":      "200 200 200 200 | 200 200 200 200 | 200",
	"get_livez":       "200 200 200 200 | 200 200 200 200 | 200",
	"get_readyz":      "200 200 200 200 | 200 200 200 200 | 200",
	"get_startupz":    "200 200 200 200 | 200 200 200 200 | 200",
	"workflow_schema": "200 200 200 200 | 200 200 200 200 | 200",
	"job_schema":      "200 200 200 200 | 200 200 200 200 | 200",
	"profile_schema":  "200 200 200 200 | 200 200 200 200 | 200",
	"config_schema":   "200 200 200 200 | 200 200 200 200 | 200",
	"openapi":         "200 200 200 200 | 200 200 200 200 | 200",
	"metrics":         "200 200 200 200 | 200 200 200 200 | 200",
}

// objects are what a tenant of the matrix has.
type objects struct {
	tenant           tenant.ID
	job, key, secret string // the secret is of another key, of the caller's role
	schedule         string
	webhook          string
	delivery         string
	pos              int64 // of its first entry in the log
}

// TestMatrix asks every operation of the document for a tenant's objects, as
// every role of that tenant and of another one, and without a key.
func TestMatrix(t *testing.T) {
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Metrics = http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.Header().Set("Content-Type", "text/plain") })
	})
	asked := map[string]bool{}
	for path, methods := range fetchDocument(t, w.server).at("paths") {
		for method, op := range methods.(map[string]any) {
			name := fmt.Sprint(op.(map[string]any)["operationId"])
			asked[name] = true
			row := strings.Fields(strings.ReplaceAll(matrix[name], "|", ""))
			if len(row) != 9 {
				t.Errorf("%s has no row in the matrix: add one", name)
				continue
			}
			for i, want := range row {
				w.cell(name, strings.ToUpper(method), path, i, want)
			}
		}
	}
	for name := range matrix {
		if !asked[name] {
			t.Errorf("%s is in the matrix but not in the document", name)
		}
	}
}

// cell makes one request of the matrix on objects of its own.
func (w *world) cell(name, method, path string, column int, want string) {
	w.t.Helper()
	role := tenant.Roles()[column%len(tenant.Roles())]
	own := w.tenant(fmt.Sprintf("own-%s-%d", strings.ReplaceAll(name, "_", "-"), column), role)
	caller, secret := "own "+string(role), own.secret
	switch {
	case column == 8:
		caller, secret = "nobody", ""
	case column >= 4:
		other := w.tenant(fmt.Sprintf("other-%s-%d", strings.ReplaceAll(name, "_", "-"), column), role)
		caller, secret = "another's "+string(role), other.secret
	}
	at := own.path(name, path)
	if name == "stream_events" {
		at += "?once=true&after=0"
	}
	got := w.call(method, at, own.body(name), "X-Api-Key", secret, "Content-Type", "application/json")
	if fmt.Sprint(got.status) != want {
		w.t.Errorf("%s by %s: %d, want %s: %s", name, caller, got.status, want, got.body)
	}
	if column >= 4 && role != tenant.Platform && name != "cancel_jobs" && name != "put_profile" && got.status < 300 {
		for _, id := range []string{own.job, own.key, own.schedule, own.webhook, own.delivery, `"` + string(own.tenant) + `"`} {
			if strings.Contains(got.body, id) {
				w.t.Errorf("%s shows %s to %s: %s", name, id, caller, got.body)
			}
		}
	}
}

// tenant makes a tenant with a cancelled job, a key, and a key of the role.
func (w *world) tenant(id string, role tenant.Role) objects {
	w.t.Helper()
	ctx, o := w.t.Context(), objects{tenant: tenant.ID(id)}
	_, err := w.svc.CreateTenant(ctx, root(), o.tenant, service.TenantChange{})
	must(w.t, err)
	k, err := w.svc.CreateKey(ctx, root(), o.tenant, service.KeyRequest{Name: "weak", Role: tenant.Viewer})
	must(w.t, err)
	o.key = k.Key.ID
	k, err = w.svc.CreateKey(ctx, root(), o.tenant, service.KeyRequest{Name: "caller", Role: role})
	must(w.t, err)
	o.secret = k.Secret.Reveal()
	us := tenant.NewPrincipal(o.tenant, "us", tenant.All()...)
	r, err := w.svc.Submit(ctx, us, []job.Spec{{VMPath: "/DC/vm/web-01"}}, service.SubmitOptions{})
	must(w.t, err)
	o.job = r.Jobs[0].ID
	_, err = w.svc.Cancel(ctx, us, o.job, "") // its stream ends
	must(w.t, err)
	_, err = w.svc.PutProfile(ctx, us, string(o.tenant), []byte("defaults: {format: raw}"), "application/yaml")
	must(w.t, err)
	sch, err := w.svc.CreateSchedule(ctx, us, schedule.Definition{Name: "nightly", Cron: "@yearly", Jobs: []job.Spec{{VMPath: "/DC/vm/web-01"}}})
	must(w.t, err)
	o.schedule = sch.ID
	hook, err := w.svc.CreateWebhook(ctx, us, webhook.Definition{Name: "ops", URL: "https://hooks.example.com/T0/x"})
	must(w.t, err)
	o.webhook = hook.Webhook.ID
	test, err := w.svc.TestWebhook(ctx, us, "ops")
	must(w.t, err)
	o.delivery = test.ID
	_, err = w.store.Sequence(ctx, 1000)
	must(w.t, err)
	page, err := service.NewAudit(w.store).Entries(ctx, us, service.AuditQuery{Tenant: o.tenant})
	must(w.t, err)
	o.pos = page.Entries[0].Pos
	return o
}

func (o objects) path(name, template string) string {
	id := o.job
	switch {
	case strings.HasPrefix(template, "/tenants/"), strings.HasPrefix(template, "/profiles/"):
		id = string(o.tenant)
	case strings.HasPrefix(template, "/schedules/"):
		id = o.schedule
	case strings.HasPrefix(template, "/webhooks/"):
		id = o.webhook
	case strings.HasPrefix(template, "/keys/"):
		id = o.key
	case name == "get_vm":
		id = "vm-1"
	}
	return strings.NewReplacer("{id}", id, "{key}", o.key, "{delivery}", o.delivery, "{pos}", fmt.Sprint(o.pos)).Replace(template) + query[name]
}

// query is what an operation cannot do without.
var query = map[string]string{"audit_consistency": "?from=1"}

func (o objects) body(name string) string {
	switch name {
	case "submit_jobs":
		return spec
	case "set_job_bandwidth":
		return `{"bandwidth_limit":"20MB"}`
	case "put_profile":
		return `{"defaults":{"format":"ova"}}`
	case "query_jobs", "rotate_key", "render_profile", "rotate_webhook":
		return "{}"
	case "update_job":
		return `{"priority":"high"}`
	case "bulk_jobs":
		return `{"action":"retry","filter":{"job_ids":["` + o.job + `"]},"dry_run":true}`
	case "cancel_jobs":
		return `{"job_ids":["` + o.job + `"]}`
	case "create_key", "create_tenant_key":
		return `{"name":"new","role":"viewer"}`
	case "create_tenant":
		return `{"id":"new-` + string(o.tenant) + `"}`
	case "create_schedule", "set_schedule":
		return `{"name":"weekly","cron":"@weekly","jobs":[{"vm_path":"/DC/vm/web-01"}]}`
	case "create_webhook", "set_webhook":
		return `{"name":"new","url":"https://hooks.example.com/T1/y"}`
	case "replay_webhook":
		return `{"since":"2026-01-01T00:00:00Z"}`
	case "run_retention":
		return `{"dry_run":true}`
	case "change_tenant":
		return `{"weight":2}`
	}
	return ""
}

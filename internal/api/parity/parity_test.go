package parity_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// TestParity plays each scenario through each door, on a tenant of its own, and
// compares what came of it.
func TestParity(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	t.Run("every use case has its scenario", func(t *testing.T) { everyUseCase(t, w) })
	t.Run("the same resource", func(t *testing.T) { sameResource(t, w) })
	for i, s := range scenarios {
		var before, by any
		for _, d := range w.drivers {
			if d.lacks(s.op) != "" {
				continue
			}
			o := w.tenant(fmt.Sprintf("s%d-%s", i, d.door()), role(s), s.op)
			got := s.play(t, w, d, o)
			s.judge(t, d, o, got)
			now := shared(s, got, w.left(o), o)
			w.quiet(o)
			if before != nil && !reflect.DeepEqual(before, now) {
				t.Errorf("%s: the doors differ\n%v: %s\n%s: %s", s.name, by, show(before), d.door(), show(now))
			}
			before, by = now, d.door()
		}
	}
}

// left is all that a tenant has.
func (w *world) left(o objects) any {
	w.t.Helper()
	ctx := w.t.Context()
	jobs, err := w.svc.Query(ctx, o.us, service.Query{})
	must(w.t, err)
	schedules, err := w.svc.Schedules(ctx, o.us, 0, "")
	must(w.t, err)
	profiles, err := w.svc.Profiles(ctx, o.us)
	must(w.t, err)
	account, err := w.svc.Tenant(ctx, o.us, "")
	if fault.Is(err, fault.NotFound) {
		return "deleted"
	}
	must(w.t, err)
	keys, err := w.svc.Keys(ctx, o.us, "")
	must(w.t, err)
	hooks, err := w.svc.Webhooks(ctx, o.us, 0, "")
	must(w.t, err)
	var deliveries []any
	for _, h := range hooks.Items {
		page, err := w.svc.Deliveries(ctx, o.us, h.ID, "", 0, "")
		must(w.t, err)
		deliveries = append(deliveries, page.Items)
	}
	texts := map[string]string{}
	for _, p := range profiles {
		texts[p.ID] = p.Text
	}
	account.CreatedAt = time.Time{}
	return map[string]any{"jobs": jobs.Jobs, "schedules": schedules.Items, "profiles": texts, "account": account, "keys": keys, "webhooks": hooks.Items, "deliveries": deliveries}
}

// quiet takes what a tenant has left out of the others' way.
func (w *world) quiet(o objects) {
	_, err := w.svc.ChangeTenant(w.t.Context(), root(), o.tenant, service.TenantChange{Paused: new(true)})
	if !fault.Is(err, fault.NotFound) { // it was deleted
		must(w.t, err)
	}
}

func role(s scenario) tenant.Role {
	if s.role == "" {
		return tenant.Platform
	}
	return s.role
}

func (s scenario) play(t *testing.T, w *world, d driver, o objects) outcome {
	t.Helper()
	if s.prepare != nil {
		s.prepare(w, &o)
	}
	var c call
	if s.call != nil {
		c = s.call(o)
	}
	c.op, c.secret = s.op, o.secret
	if s.strange != nil {
		s.strange(o, &c)
	}
	defer w.limits.clear()
	return d.do(t, c)
}

func (s scenario) judge(t *testing.T, d driver, o objects, got outcome) {
	t.Helper()
	if got.kind != s.kind || s.code != "" && got.code != s.code {
		t.Errorf("%s by %s: %s %s (%s), want %s %s", s.name, d.door(), got.kind, got.code, got.message, s.kind, s.code)
	}
	if s.check != nil && !s.check(o, got.value) {
		t.Errorf("%s by %s: %s", s.name, d.door(), show(got.value))
	}
}

// shared is an outcome without what is of this call alone: ids, times, secrets.
// A scenario without a code is one that doors may notice before the service does:
// then only the kind is the same. left is how the call left the tenant.
func shared(s scenario, got outcome, left any, o objects) any {
	told := any(map[string]any{"kind": got.kind})
	switch {
	case got.kind == "":
		told = canonical(got.value)
	case s.code != "":
		told = map[string]any{"kind": got.kind, "message": got.message, "fix": got.fix, "items": got.items}
	}
	text, err := json.Marshal([]any{told, left})
	if err != nil {
		return err.Error()
	}
	named := strings.NewReplacer(string(o.tenant), "TENANT", o.profile, "PROFILE").Replace(string(text))
	for _, own := range ownForms {
		named = own.form.ReplaceAllString(named, own.is)
	}
	var v any
	if err := json.Unmarshal([]byte(named), &v); err != nil {
		return err.Error()
	}
	return v
}

// ownForms are what differs from call to call. A time of the test is one of this
// century; those of the inventory are compared as they are.
var ownForms = []struct {
	form *regexp.Regexp
	is   string
}{
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}`), "ID"},
	{regexp.MustCompile(`hvk_[A-Z2-7]+`), "KEY"},
	{regexp.MustCompile(`whsec_[A-Za-z0-9+/=]+`), "SIGNING KEY"},
	{regexp.MustCompile(`msg_[a-z0-9]+`), "DELIVERY"},
	{regexp.MustCompile(`"id":"[0-9a-f]{12}"`), `"id":"SIGNING KEY"`},
	{regexp.MustCompile(`\\"timestamp\\":\\"20[^"]+Z\\"`), `\"timestamp\":\"TIME\"`}, // of a payload
	{regexp.MustCompile(`"(root|hash|leaf|note|checkpoint)":"(\\.|[^"\\])+"`), `"$1":"TEXT"`},
	{regexp.MustCompile(`"hashes":\[[^\]]+\]`), `"hashes":["TEXT"]`},
	{regexp.MustCompile(`"(id|size|event_seq|next_cursor)":[0-9]+`), `"$1":1`},
	{regexp.MustCompile(`"([\w/]+_at|[\w/]+_for|\w+_since|\w+_until|estimated_start|time|at|timestamp|last_seen|last_run)":"20[^"]+Z"`), `"$1":"TIME"`},
	{regexp.MustCompile(`"(next_cursor|request_id|door)":"[^"]+"`), `"$1":"TEXT"`},
	{regexp.MustCompile(`the log has [0-9]+ entries|it ends at [0-9]+`), "SIZE OF THE LOG"},
	{regexp.MustCompile(`"pos":[0-9]+,|"last_used_at":"[^"]+",`), ""}, // they come a moment later
	{regexp.MustCompile(`"(seq|pos|uptime_seconds|oldest_wait_seconds|seconds|lag_entries|lag_seconds)":[0-9.e+-]+`), `"$1":1`},
	{regexp.MustCompile(`,?"(timestamp|replayed)":("TIME"|true)`), ""},
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// everyUseCase: each operation of the document is played, and each door has it or says
// why not.
func everyUseCase(t *testing.T, w *world) {
	t.Helper()
	rest := w.drivers[0].(*restDriver)
	played := map[string]bool{}
	for _, s := range scenarios {
		if played[s.op] = played[s.op] || s.kind == ""; rest.lacks(s.op) != "" {
			t.Errorf("%s plays %s: %s", s.name, s.op, rest.lacks(s.op))
		}
	}
	for _, op := range slices.Sorted(maps.Keys(rest.routes)) {
		if rest.routes[op].private && !played[op] {
			t.Errorf("%s has no scenario that succeeds", op)
		}
		for _, d := range w.drivers {
			if why := d.lacks(op); strings.HasPrefix(why, "UNKNOWN") {
				t.Errorf("%s by %s: %s", op, d.door(), why)
			}
		}
	}
	for op := range rpcs {
		if _, ok := rest.routes[op]; !ok {
			t.Errorf("%s is called by gRPC but not in the document", op)
		}
	}
}

// sameResource reads the same things through each door: not a byte may differ.
func sameResource(t *testing.T, w *world) {
	t.Helper()
	o := w.tenant("shared", tenant.Platform, "")
	defer w.quiet(o)
	w.complete(o)
	for _, s := range scenarios {
		if !reads[s.op] || s.prepare != nil || s.kind != "" {
			continue
		}
		var before any
		for _, d := range w.drivers {
			if d.lacks(s.op) != "" {
				continue
			}
			var c call
			if s.call != nil {
				c = s.call(o)
			}
			c.op, c.secret = s.op, o.secret
			now := canonical(d.do(t, c).value)
			if !strings.Contains(s.op, "audit") {
				drop(now, "timestamp", "pos", "last_used_at") // of the answer; and what comes a moment later
			}
			if before != nil && !reflect.DeepEqual(before, now) {
				t.Errorf("%s: the doors differ\n%s\n%s: %s", s.name, show(before), d.door(), show(now))
			}
			before = now
		}
	}
}

var reads = map[string]bool{
	"query_jobs": true, "list_jobs": true, "get_job": true, "explain_job": true, "list_profiles": true, "get_profile": true, "render_profile": true,
	"list_schedules": true, "get_schedule": true, "list_nodes": true, "list_vms": true, "get_vm": true, "list_keys": true, "get_tenant": true,
	"list_tenant_keys": true, "job_events": true, "get_receipt": true, "list_webhooks": true, "get_webhook": true, "list_deliveries": true, "get_delivery": true,
	"list_audit": true, "export_audit": true, "audit_checkpoint": true, "audit_proof": true, "audit_consistency": true,
}

// drop leaves keys out, wherever they are.
func drop(v any, keys ...string) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys {
			delete(v, k)
		}
		for _, e := range v {
			drop(e, keys...)
		}
	case []any:
		for _, e := range v {
			drop(e, keys...)
		}
	}
	return v
}

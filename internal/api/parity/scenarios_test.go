package parity_test

import (
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// scenario is one call of a use case, on a tenant of its own.
type scenario struct {
	name    string
	op      string
	role    tenant.Role                 // of the caller; platform unless told
	prepare func(w *world, o *objects)  // what must be so before
	call    func(o objects) call        // without op and secret; nil: nothing but those
	kind    string                      // of the error; "": success
	code    string                      // of the error; "": doors may notice it at another place
	strange func(o objects, c *call)    // a last change, e.g. no secret
	check   func(o objects, v any) bool // what the answer must hold
}

type obj = map[string]any

func byID(pick func(o objects) string) func(o objects) call {
	return func(o objects) call { return call{id: pick(o)} }
}

var (
	theJob      = byID(func(o objects) string { return o.job })
	theEnded    = byID(func(o objects) string { return o.ended })
	theSchedule = byID(func(o objects) string { return o.schedule })
	theProfile  = byID(func(o objects) string { return o.profile })
	theTenant   = byID(func(o objects) string { return string(o.tenant) })
	theKey      = byID(func(o objects) string { return o.key })
	nothing     = func(objects) call { return call{id: "00000000-0000-7000-8000-000000000000"} }
)

func with(c func(o objects) call, body obj) func(o objects) call {
	return func(o objects) call {
		out := c(o)
		out.body = body
		return out
	}
}

func body(b obj) func(o objects) call    { return with(func(objects) call { return call{} }, b) }
func query(q obj) func(o objects) call   { return func(objects) call { return call{query: q} } }
func text(s string) func(o objects) call { return func(objects) call { return call{text: s} } }
func completed(w *world, o *objects)     { w.complete(*o) }
func anonymous(_ objects, c *call)       { c.secret = "" }
func wrongKey(_ objects, c *call)        { c.secret = "hvk_WRONGWRONGWRONG" }
func field(v any, name string) any       { m, _ := v.(map[string]any); return m[name] }
func has(n, v string) func(objects, any) bool {
	return func(_ objects, got any) bool { return field(got, n) == v }
}

func limited(op string) func(w *world, o *objects) {
	return func(w *world, _ *objects) { w.limits.set(op, 0) }
}

func quota(c service.TenantChange) func(w *world, o *objects) {
	return func(w *world, o *objects) {
		_, err := w.svc.ChangeTenant(w.t.Context(), root(), o.tenant, c)
		must(w.t, err)
	}
}

const workflow = `
name: both
jobs:
- {id: a, type: export, vm_path: /DC/vm/web-01, bandwidth_limit: 50MB, bandwidth_windows: ["Mon-Fri 08:00-18:00 = 5MB"], enable_checkpoints: false, verify_checksum: true, generate_manifest: false}
- {id: b, type: verify, depends_on: a, input: $a.output}
finally:
- {id: tell, type: webhook, url: https://example.org/secret, message: done}
`

// scenarios are all use cases, and each kind of error.
var scenarios = slices.Concat(jobScenarios, changeScenarios, otherScenarios, webhookScenarios, auditScenarios, errorScenarios)

var jobScenarios = []scenario{
	{name: "submit one", op: "submit_jobs", call: body(obj{"vm_path": "/DC/vm/a", "format": "qcow2", "compress": false, "priority": "high", "labels": obj{"k": "v"}})},
	{name: "submit several", op: "submit_jobs", call: body(obj{"jobs": []obj{{"vm_path": "a"}, {"vm_path": "b", "provider": "none"}, {"vm_path": "c", "max_attempts": 5}}}),
		check: func(_ objects, v any) bool { return len(field(v, "errors").([]any)) == 1 }},
	{name: "submit YAML", op: "submit_jobs", call: text("jobs: [{vm_path: a}, {vm_path: b}]")},
	{name: "submit a workflow", op: "submit_jobs", call: text(workflow)},
	{name: "submit again", op: "submit_jobs", call: func(objects) call { return call{body: obj{"vm_path": "a"}, idempotent: "k1"} },
		prepare: func(w *world, o *objects) {
			_, err := w.svc.Submit(w.t.Context(), o.caller, []job.Spec{{VMPath: "a"}}, service.SubmitOptions{IdempotencyKey: "k1"})
			must(w.t, err)
		}},
	{name: "query", op: "query_jobs", call: body(obj{"status": []string{"pending", "cancelled"}, "vm": "/DC/vm/*", "limit": 1}),
		check: func(_ objects, v any) bool {
			return len(field(v, "jobs").([]any)) == 1 && field(v, "next_cursor") != nil
		}},
	{name: "query by id", op: "query_jobs", call: func(o objects) call { return call{body: obj{"job_ids": []string{o.job, "x"}}} }},
	{name: "list", op: "list_jobs", call: query(obj{"status": "pending,cancelled", "limit": 10}),
		check: func(_ objects, v any) bool { return len(field(v, "items").([]any)) == 2 }},
	{name: "list completed", op: "list_jobs", prepare: completed, call: query(obj{"status": "completed"})},
	{name: "get", op: "get_job", call: theJob},
	{name: "get a cancelled", op: "get_job", call: theEnded, check: has("cancel_reason", "no need")},
	{name: "get a completed", op: "get_job", prepare: completed, call: theJob, check: has("status", "completed")},
	{name: "get a workflow", op: "get_job", call: theJob, prepare: func(w *world, o *objects) {
		specs, err := job.DecodeSpecs([]byte(workflow), "application/yaml")
		must(w.t, err)
		r, err := w.svc.Submit(w.t.Context(), o.us, specs, service.SubmitOptions{})
		must(w.t, err)
		o.job = r.Jobs[0].ID
	}},
	{name: "receipt", op: "get_receipt", prepare: completed, call: theJob},
	{name: "events", op: "job_events", prepare: completed, call: theJob, check: func(_ objects, v any) bool { return len(v.([]any)) == 3 }},
	{name: "events of all", op: "stream_events", call: query(obj{"after": 0, "once": true}), prepare: placed, check: func(o objects, v any) bool { return len(v.([]any)) > 5 }},
	{name: "events of some", op: "stream_events", call: query(obj{"after": 0, "once": true, "kind": "job.cancelled"}), prepare: placed},
	{name: "explain", op: "explain_job", call: theJob, check: has("reason", "slot")},
	{name: "explain a paused", op: "explain_job", call: theJob, prepare: paused},
	{name: "explain a cancelled", op: "explain_job", call: theEnded},
}

func paused(w *world, o *objects) {
	_, err := w.svc.Pause(w.t.Context(), o.us, o.job, "")
	must(w.t, err)
}

// placed gives the events their places in the log.
func placed(w *world, _ *objects) {
	_, err := w.store.Sequence(w.t.Context(), 100_000)
	must(w.t, err)
}

var changeScenarios = []scenario{
	{name: "cancel", op: "cancel_job", call: with(theJob, obj{"reason": "r"}), check: has("outcome", "cancelled")},
	{name: "cancel too late", op: "cancel_job", prepare: completed, call: theJob, check: has("outcome", "already_final")},
	{name: "cancel several", op: "cancel_jobs", call: func(o objects) call { return call{body: obj{"job_ids": []string{o.job, "x", o.ended}, "reason": "r"}} }},
	{name: "pause", op: "pause_job", call: with(theJob, obj{"reason": "r"})},
	{name: "resume", op: "resume_job", prepare: paused, call: theJob},
	{name: "retry", op: "retry_job", call: theEnded, check: has("status", "pending")},
	{name: "prioritize", op: "update_job", call: with(theJob, obj{"priority": "critical"}), check: has("priority", "critical")},
	{name: "bandwidth", op: "set_job_bandwidth", call: with(theJob, obj{"bandwidth_limit": "20MB", "bandwidth_windows": []string{"Mon-Fri 08:00-18:00 = 5MB"}})},
	{name: "bulk", op: "bulk_jobs", call: body(obj{"action": "cancel", "filter": obj{"status": []string{"pending"}}, "reason": "r"})},
	{name: "bulk, dry", op: "bulk_jobs", call: body(obj{"action": "priority", "priority": "low", "filter": obj{"vm": "*"}, "dry_run": true})},
	{name: "profiles", op: "list_profiles", call: nil},
	{name: "profile", op: "get_profile", call: theProfile},
	{name: "put a profile", op: "put_profile", call: func(o objects) call {
		return call{id: "new", text: "extends: " + o.profile + "\ndefaults: {priority: low}"}
	}},
	{name: "delete a profile", op: "delete_profile", call: theProfile},
	{name: "render", op: "render_profile", call: with(theProfile, obj{"spec": obj{"vm_path": "a", "format": "qcow2"}})},
	{name: "schedules", op: "list_schedules", call: query(obj{"limit": 10})},
	{name: "schedule", op: "get_schedule", call: theSchedule},
	{name: "create a schedule", op: "create_schedule", call: body(obj{"name": "n", "cron": "30 2 * * *", "time_zone": "Europe/Berlin", "overlap": "queue", "jitter": "5m", "jobs": []obj{{"vm_path": "a"}}})},
	{name: "set a schedule", op: "set_schedule", call: with(theSchedule, obj{"name": "nightly", "cron": "@weekly", "catch_up": "all", "overlap": "queue", "paused": true, "jobs": []obj{{"vm_path": "b"}}})},
	{name: "pause a schedule", op: "pause_schedule", call: theSchedule},
	{name: "resume a schedule", op: "resume_schedule", call: theSchedule},
	{name: "run a schedule", op: "run_schedule", call: theSchedule},
	{name: "runs", op: "schedule_runs", call: theSchedule, prepare: func(w *world, o *objects) {
		_, err := w.svc.RunSchedule(w.t.Context(), o.us, o.schedule)
		must(w.t, err)
	}},
	{name: "delete a schedule", op: "delete_schedule", call: theSchedule},
}

var otherScenarios = []scenario{
	{name: "retention, dry", op: "run_retention", call: body(obj{"dry_run": true})},
	{name: "nodes", op: "list_nodes"},
	{name: "VMs", op: "list_vms", call: query(obj{"path": []string{"/DC/vm/*", "x"}})},
	{name: "VM", op: "get_vm", call: byID(func(objects) string { return "vm-1" })},
	{name: "status", op: "get_status"},
	{name: "whoami", op: "get_whoami", role: tenant.Operator},
	{name: "keys", op: "list_keys"},
	{name: "create a key", op: "create_key", call: body(obj{"name": "k", "role": "operator", "scopes": []string{"job:read"}, "expires_at": "2999-01-01T00:00:00Z"})},
	{name: "revoke a key", op: "revoke_key", call: theKey},
	{name: "rotate a key", op: "rotate_key", call: with(theKey, obj{"overlap": "1h"})},
	{name: "keys of a tenant", op: "list_tenant_keys", call: theTenant},
	{name: "create a key of a tenant", op: "create_tenant_key", call: with(theTenant, obj{"name": "k", "role": "viewer"})},
	{name: "revoke a key of a tenant", op: "revoke_tenant_key", call: func(o objects) call { return call{id: string(o.tenant), key: o.key} }},
	{name: "own tenant", op: "list_tenants", role: tenant.Admin},
	{name: "tenant", op: "get_tenant", call: theTenant},
	{name: "create a tenant", op: "create_tenant", call: func(o objects) call {
		return call{body: obj{"id": "new-" + string(o.tenant), "name": "New", "weight": 3, "max_storage_gb": 7, "max_bandwidth_mbps": 8}}
	}},
	{name: "change a tenant", op: "change_tenant", call: with(theTenant, obj{"weight": 2, "max_queued_jobs": 5, "paused": true})},
	{name: "delete a tenant", op: "delete_tenant", call: theTenant},
	{name: "pause a tenant", op: "pause_tenant", call: theTenant},
	{name: "resume a tenant", op: "resume_tenant", call: theTenant},
	{name: "usage", op: "tenant_usage", prepare: completed, call: func(o objects) call { return call{id: string(o.tenant), query: obj{"from": "2026-01"}} },
		check: func(_ objects, v any) bool { return len(field(v, "months").([]any)) == 1 }},
}

var errorScenarios = []scenario{
	{name: "limit", op: "list_jobs", call: query(obj{"limit": -1}), kind: "invalid"},
	{name: "no such place", op: "stream_events", call: query(obj{"after": 1 << 40}), kind: "conflict", code: "HX-EVENT-002"},
	{name: "cursor", op: "list_jobs", call: query(obj{"cursor": "!"}), kind: "invalid", code: "HX-JOB-025"},
	{name: "cursor of schedules", op: "list_schedules", call: query(obj{"limit": 1, "cursor": "!"}), kind: "invalid", code: "HX-SCHED-003"},
	{name: "empty bulk filter", op: "bulk_jobs", call: body(obj{"action": "cancel", "filter": obj{}}), kind: "invalid", code: "HX-JOB-027"},
	{name: "no month", op: "tenant_usage", call: func(o objects) call { return call{id: string(o.tenant), query: obj{"from": "x"}} }, kind: "invalid", code: "HX-TENANT-004"},
	{name: "no duration", op: "rotate_key", call: with(theKey, obj{"overlap": "x"}), kind: "invalid", code: "HX-KEY-007"},
	{name: "bad YAML", op: "submit_jobs", call: text("vm_path: ["), kind: "invalid"},
	{name: "unknown key in YAML", op: "submit_jobs", call: text("vm_paht: a"), kind: "invalid", code: "HX-JOB-004"},
	{name: "bad idempotency key", op: "submit_jobs", call: func(objects) call { return call{body: obj{"vm_path": "a"}, idempotent: strings.Repeat("k", 256)} }, kind: "invalid", code: "HX-JOB-015"},
	{name: "nobody to cancel", op: "cancel_jobs", call: body(obj{"job_ids": []string{}}), kind: "invalid"},

	{name: "nobody", op: "get_job", call: theJob, strange: anonymous, kind: "unauthenticated"},
	{name: "nobody submits", op: "submit_jobs", call: body(obj{"vm_path": "a"}), strange: anonymous, kind: "unauthenticated"},
	{name: "wrong key", op: "list_jobs", strange: wrongKey, kind: "unauthenticated"},
	{name: "revoked key", op: "get_status", prepare: func(w *world, o *objects) {
		made, err := w.svc.CreateKey(w.t.Context(), o.us, "", service.KeyRequest{Name: "gone", Role: tenant.Viewer})
		must(w.t, err)
		_, err = w.svc.RevokeKey(w.t.Context(), o.us, "", made.Key.ID)
		must(w.t, err)
		o.secret = made.Secret.Reveal()
	}, kind: "unauthenticated", code: "HX-AUTH-013"},

	{name: "viewer submits", op: "submit_jobs", role: tenant.Viewer, call: body(obj{"vm_path": "a"}), kind: "denied", code: "HX-AUTH-002"},
	{name: "operator makes a key", op: "create_key", role: tenant.Operator, call: body(obj{"name": "k", "role": "viewer"}), kind: "denied", code: "HX-AUTH-002"},
	{name: "admin gives too much", op: "create_key", role: tenant.Admin, call: body(obj{"name": "k", "role": "platform"}), kind: "denied", code: "HX-AUTH-003"},
	{name: "admin runs retention", op: "run_retention", role: tenant.Admin, call: body(obj{"dry_run": true}), kind: "denied", code: "HX-AUTH-002"},

	{name: "no such job", op: "get_job", call: nothing, kind: "not_found", code: "HX-JOB-041"},
	{name: "no such stream", op: "job_events", call: nothing, kind: "not_found", code: "HX-JOB-041"},
	{name: "cancel none", op: "cancel_job", call: nothing, kind: "not_found", code: "HX-JOB-041"},
	{name: "no such profile", op: "get_profile", call: nothing, kind: "not_found", code: "HX-PROFILE-034"},
	{name: "no such schedule", op: "run_schedule", call: nothing, kind: "not_found"},
	{name: "no such key", op: "revoke_key", call: nothing, kind: "not_found"},
	{name: "no such tenant", op: "get_tenant", call: nothing, kind: "not_found", code: "HX-TENANT-001"},
	{name: "no such VM", op: "get_vm", call: nothing, kind: "not_found", code: "HX-TEST-002"},
	{name: "no such provider", op: "list_vms", call: query(obj{"provider": "none"}), kind: "not_found", code: "HX-TEST-003"},
	{name: "a stranger's job", op: "get_job", role: tenant.Admin, call: theJob, prepare: strangers, kind: "not_found", code: "HX-JOB-041"},
	{name: "a stranger's stream", op: "job_events", role: tenant.Admin, call: theJob, prepare: strangers, kind: "not_found", code: "HX-JOB-041"},
	{name: "a stranger cancels", op: "cancel_job", role: tenant.Admin, call: theJob, prepare: strangers, kind: "not_found", code: "HX-JOB-041"},
	{name: "a stranger's tenant", op: "get_tenant", role: tenant.Admin, call: byID(func(objects) string { return "default" }), kind: "not_found", code: "HX-TENANT-001"},

	{name: "no receipt", op: "get_receipt", call: theJob, kind: "conflict", code: "HX-JOB-020"},
	{name: "pause an ended", op: "pause_job", call: theEnded, kind: "conflict", code: "HX-JOB-043"},
	{name: "retry a pending", op: "retry_job", prepare: completed, call: theJob, kind: "conflict", code: "HX-JOB-044"},
	{name: "bandwidth of an ended", op: "set_job_bandwidth", call: with(theEnded, obj{"bandwidth_limit": "1MB"}), kind: "conflict"},
	{name: "a tenant twice", op: "create_tenant", call: func(o objects) call { return call{body: obj{"id": string(o.tenant)}} }, kind: "conflict"},
	{name: "the tenant default", op: "delete_tenant", call: byID(func(objects) string { return "default" }), kind: "conflict", code: "HX-TENANT-007"},
	{name: "a schedule twice", op: "create_schedule", call: body(obj{"name": "nightly", "cron": "@daily", "jobs": []obj{{"vm_path": "a"}}}), kind: "conflict"},

	{name: "a job that cannot be", op: "submit_jobs", call: body(obj{"vm_path": "a", "provider": "none"}), kind: "unprocessable", code: "HX-TEST-001"},
	{name: "bad values", op: "submit_jobs", call: body(obj{"vm_path": "a", "format": "zip", "max_attempts": 1000}), kind: "unprocessable", code: "HX-JOB-005"},
	{name: "all refused", op: "submit_jobs", call: body(obj{"jobs": []obj{{"vm_path": "a", "provider": "x"}, {"vm_path": "b", "format": "zip"}}}), kind: "unprocessable", code: "HX-JOB-011"},
	{name: "a cycle", op: "submit_jobs", call: text("{name: w, jobs: [{id: a, type: export, vm_path: x, depends_on: a}]}"), kind: "unprocessable"},
	{name: "another request with the key", op: "submit_jobs", call: func(objects) call { return call{body: obj{"vm_path": "b"}, idempotent: "k1"} },
		prepare: func(w *world, o *objects) {
			_, err := w.svc.Submit(w.t.Context(), o.caller, []job.Spec{{VMPath: "a"}}, service.SubmitOptions{IdempotencyKey: "k1"})
			must(w.t, err)
		}, kind: "unprocessable", code: "HX-JOB-012"},
	{name: "a bad name", op: "create_key", call: body(obj{"name": "../x", "role": "viewer"}), kind: "unprocessable", code: "HX-KEY-001"},
	{name: "a bad tenant", op: "create_tenant", call: body(obj{"id": "A B"}), kind: "unprocessable", code: "HX-TENANT-002"},
	{name: "a bad cron", op: "create_schedule", call: body(obj{"name": "n", "cron": "x", "jobs": []obj{{"vm_path": "a"}}}), kind: "unprocessable", code: "HX-SCHED-001"},

	{name: "queue full", op: "submit_jobs", prepare: quota(service.TenantChange{MaxQueuedJobs: new(int64(1))}), call: body(obj{"vm_path": "a"}), kind: "exhausted", code: "HX-QUOTA-001"},
	{name: "storage full", op: "submit_jobs", prepare: quota(service.TenantChange{MaxStorageBytes: new(int64(1)), StoredBytes: new(int64(2))}), call: body(obj{"jobs": []obj{{"vm_path": "a"}, {"vm_path": "b"}}}), kind: "exhausted", code: "HX-QUOTA-002"},
	{name: "too often: submit", op: "submit_jobs", prepare: limited("submit_jobs"), call: body(obj{"vm_path": "a"}), kind: "exhausted", code: "HX-TEST-004"},
	{name: "too often: get", op: "get_job", prepare: limited("get_job"), call: theJob, kind: "exhausted", code: "HX-TEST-004"},
	{name: "too often: stream", op: "job_events", prepare: limited("job_events"), call: theJob, kind: "exhausted", code: "HX-TEST-004"},
}

// strangers makes the tenant's objects those of another one.
func strangers(w *world, o *objects) {
	other := w.tenant("other-"+string(o.tenant), tenant.Viewer, "job")
	o.job, o.ended = other.job, other.ended
}

package graph_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// matrix says for each root field how it answers to a viewer, an operator, an
// admin and a platform admin of the tenant whose objects are asked for, to the
// same four of another tenant, and to nobody: y(es), d(enied), n(ot found),
// c(onflict), u(nauthenticated). $job, $key, $tenant, $schedule, $hook, $delivery and
// $pos stand for the objects.
var matrix = map[string]struct{ row, field string }{
	"jobs":           {"yyyy yyyy u", `{jobs{id}}`},
	"job":            {"yyyy nnnn u", `{job(id:"$job"){id vmPath}}`},
	"jobsConnection": {"yyyy yyyy u", `{jobsConnection{nodes{id} totalCount}}`},
	"whoami":         {"yyyy yyyy u", `{whoami{actor tenant permissions}}`},
	"explain":        {"yyyy nnnn u", `{explain(id:"$job"){jobId message ahead remedy{action}}}`},
	"receipt":        {"cccc nnnn u", `{receipt(id:"$job")}`},
	"vms":            {"yyyy yyyy u", `{vms{name disks{key} nics{mac} snapshots blockers{code}}}`},
	"vm":             {"yyyy yyyy u", `{vm(id:"vm-1"){name}}`},
	"status":         {"yyyy yyyy u", `{status{jobs{status count} workers{size}}}`},
	"nodes":          {"yyyy yyyy u", `{nodes{id}}`},
	"keys":           {"ddyy ddyy u", `{keys{id scopes}}`},
	"tenants":        {"ddyy ddyy u", `{tenants{id}}`},
	"tenant":         {"ddyy nnny u", `{tenant(id:"$tenant"){id maxStorageGb}}`},
	"usage":          {"ddyy nnny u", `{usage(tenant:"$tenant"){months{month}}}`},
	"profiles":       {"yyyy yyyy u", `{profiles{id}}`},
	"profile":        {"yyyy nnnn u", `{profile(id:"$tenant"){id text}}`},
	"renderProfile":  {"yyyy nnnn u", `{renderProfile(id:"$tenant", spec:{vmPath:"/x"}){digest spec}}`},
	"schedules":      {"yyyy yyyy u", `{schedules{nodes{id}}}`},
	"schedule":       {"yyyy nnnn u", `{schedule(id:"$schedule"){id nextRuns}}`},
	"scheduleRuns":   {"yyyy nnnn u", `{scheduleRuns(id:"$schedule"){outcome}}`},
	"webhooks":       {"yyyy yyyy u", `{webhooks{nodes{id name url}}}`},
	"webhook":        {"yyyy nnnn u", `{webhook(id:"$hook"){name description url events format spec secrets{id} health{circuitBreaker}}}`},
	"deliveries":     {"yyyy nnnn u", `{deliveries(webhook:"$hook", status:PENDING){nodes{id log{number}}}}`},
	"delivery":       {"yyyy nnnn u", `{delivery(webhook:"$hook", id:"$delivery"){payload}}`},
	"audit":          {"ddyy ddyy u", `{audit(first:1000){nodes{event metadata resource{id}}}}`},
	"auditLog":       {"ddyy ddyy u", `{auditLog(first:1000){pos leaf hidden}}`},

	"auditCheckpoint":  {"ddyy ddyy u", `{auditCheckpoint{note}}`},
	"auditSinks":       {"dddy dddy u", `{auditSinks{name}}`},
	"auditProof":       {"ddyy ddny u", `{auditProof(pos:$pos){hashes entry{leaf}}}`}, // the platform reads the entries of all
	"auditConsistency": {"ddyy ddyy u", `{auditConsistency(from:1){hashes}}`},

	"submitJob":       {"dyyy dyyy u", `mutation{submitJob(input:{vmPath:"/DC/vm/x"}){id}}`},
	"submitJobs":      {"dyyy dyyy u", `mutation{submitJobs(input:[{vmPath:"/DC/vm/x"}]){jobs{id}}}`},
	"submitText":      {"dyyy dyyy u", `mutation{submitText(text:"vm_path: /x"){jobs{id}}}`},
	"cancelJob":       {"dyyy dnnn u", `mutation{cancelJob(id:"$job"){id}}`},
	"cancelJobs":      {"dyyy dyyy u", `mutation{cancelJobs(ids:["$job"]){outcome error{kind}}}`},
	"pauseJob":        {"dccc dnnn u", `mutation{pauseJob(id:"$job"){id}}`},
	"resumeJob":       {"dccc dnnn u", `mutation{resumeJob(id:"$job"){id}}`},
	"retryJob":        {"dyyy dnnn u", `mutation{retryJob(id:"$job"){id}}`},
	"setJobPriority":  {"dccc dnnn u", `mutation{setJobPriority(id:"$job", priority:HIGH){id}}`},
	"setJobBandwidth": {"dccc dnnn u", `mutation{setJobBandwidth(id:"$job", limit:"20MB"){id}}`},
	"bulkJobs":        {"dyyy dyyy u", `mutation{bulkJobs(action:RETRY, filter:{ids:["$job"]}, dryRun:true){failed}}`},
	"putProfile":      {"ddyy ddyy u", `mutation{putProfile(id:"$tenant", text:"defaults: {format: ova}"){id}}`},
	"deleteProfile":   {"ddyy ddnn u", `mutation{deleteProfile(id:"$tenant"){id}}`},
	"createSchedule":  {"dyyy dyyy u", `mutation{createSchedule(input:{name:"weekly", cron:"@weekly", jobs:[{vmPath:"/x"}]}){name}}`},
	"setSchedule":     {"dyyy dnnn u", `mutation{setSchedule(id:"$schedule", input:{name:"w", cron:"@weekly", overlap:QUEUE, catchUp:ALL, catchUpLimit:3, jobs:[{vmPath:"/x"}]}){overlap}}`},
	"deleteSchedule":  {"dyyy dnnn u", `mutation{deleteSchedule(id:"$schedule")}`},
	"pauseSchedule":   {"dyyy dnnn u", `mutation{pauseSchedule(id:"$schedule"){paused}}`},
	"resumeSchedule":  {"dyyy dnnn u", `mutation{resumeSchedule(id:"$schedule"){paused}}`},
	"runSchedule":     {"dyyy dnnn u", `mutation{runSchedule(id:"$schedule"){outcome jobIds}}`},
	"createTenant":    {"dddy dddy u", `mutation{createTenant(id:"new-$tenant"){id}}`},
	"changeTenant":    {"dddy nnny u", `mutation{changeTenant(id:"$tenant", input:{weight:2}){weight}}`},
	"pauseTenant":     {"dddy nnny u", `mutation{pauseTenant(id:"$tenant"){paused}}`},
	"resumeTenant":    {"dddy nnny u", `mutation{resumeTenant(id:"$tenant"){paused}}`},
	"deleteTenant":    {"dddy nnny u", `mutation{deleteTenant(id:"$tenant"){state}}`},
	"createKey":       {"ddyy ddyy u", `mutation{createKey(input:{name:"new", role:VIEWER}){secret key{role}}}`},
	"revokeKey":       {"ddyy ddnn u", `mutation{revokeKey(id:"$key"){revokedAt}}`},
	"rotateKey":       {"ddyy ddnn u", `mutation{rotateKey(id:"$key", overlap:"1h"){secret}}`},
	"createWebhook":   {"ddyy ddyy u", `mutation{createWebhook(input:{name:"new", url:"https://hooks.example.com/T1/canary", format:SLACK, circuitBreaker:{failureThreshold:2}}){secret webhook{format url}}}`},
	"setWebhook":      {"ddyy ddnn u", `mutation{setWebhook(id:"$hook", input:{name:"new"}){name url}}`},
	"deleteWebhook":   {"ddyy ddnn u", `mutation{deleteWebhook(id:"$hook")}`},
	"enableWebhook":   {"ddyy ddnn u", `mutation{enableWebhook(id:"$hook"){enabled}}`},
	"disableWebhook":  {"ddyy ddnn u", `mutation{disableWebhook(id:"$hook"){enabled}}`},
	"rotateWebhook":   {"ddyy ddnn u", `mutation{rotateWebhook(id:"$hook", overlap:"1h"){secret}}`},
	"testWebhook":     {"ddyy ddnn u", `mutation{testWebhook(id:"$hook"){status}}`},
	"replayWebhook":   {"ddyy ddnn u", `mutation{replayWebhook(id:"$hook", since:"2026-01-01T00:00:00Z")}`},
	"resendDelivery":  {"ddyy ddnn u", `mutation{resendDelivery(webhook:"$hook", id:"$delivery"){status}}`},
	"runRetention":    {"dddy dddy u", `mutation{runRetention(dryRun:true){jobs}}`},

	"jobUpdates": {"yyyy nnnn u", `subscription{jobUpdates(id:"$job"){id status}}`},
	"events":     {"yyyy yyyy u", `subscription{events(after:0, once:true){pos jobId kind}}`},
	"jobEvents":  {"yyyy nnnn u", `subscription{jobEvents(id:"$job"){seq kind data}}`},
}

// named are the same fields for a tenant that is named.
var named = map[string]struct{ row, field string }{
	"keys":      {"ddyy nnny u", `{keys(tenant:"$tenant"){id}}`},
	"createKey": {"ddyy nnny u", `mutation{createKey(tenant:"$tenant", input:{name:"new", role:VIEWER}){secret}}`},
	"revokeKey": {"ddyy nnny u", `mutation{revokeKey(tenant:"$tenant", id:"$key"){revokedAt}}`},
}

var letters = map[string]string{"": "y", "denied": "d", "not_found": "n", "conflict": "c", "unauthenticated": "u"}

// TestMatrix asks every root field for a tenant's objects, as every role of that
// tenant and of another one, and without a key.
func TestMatrix(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	schema := loadSchema(t)
	for _, root := range []string{"Query", "Mutation", "Subscription"} {
		for _, f := range schema.Types[root].Fields {
			if _, known := matrix[f.Name]; !known && !strings.HasPrefix(f.Name, "__") {
				t.Errorf("%s has no row in the matrix: add one", f.Name)
			}
		}
	}
	// Questions change nothing and share the objects; each change has its own. A
	// stranger's tenant is asked for nothing.
	have := map[string]objects{}
	get := func(id string, role tenant.Role) objects {
		if _, made := have[id]; !made {
			have[id] = w.tenant(id, role)
		}
		return have[id]
	}
	for name, c := range matrix {
		w.row(name, c.row, c.field, get)
	}
	for name, c := range named {
		w.row("named-"+name, c.row, c.field, get)
	}
}

// objects are what a tenant of the matrix has.
type objects struct{ tenant, job, key, schedule, hook, delivery, pos, secret string }

func (w *world) row(name, row, field string, get func(id string, role tenant.Role) objects) {
	w.t.Helper()
	set := "asked"
	if strings.HasPrefix(field, "mutation") {
		set = strings.ToLower(name)
	}
	for column, want := range strings.Split(strings.ReplaceAll(row, " ", ""), "") {
		role := tenant.Roles()[column%len(tenant.Roles())]
		own := get(fmt.Sprintf("own-%s-%d", set, column), role)
		secret := own.secret
		switch {
		case column == 8:
			secret = ""
		case column >= 4:
			secret = get(fmt.Sprintf("other-%s", role), role).secret
		}
		query := strings.NewReplacer("$job", own.job, "$key", own.key, "$tenant", own.tenant, "$schedule", own.schedule, "$hook", own.hook, "$delivery", own.delivery, "$pos", own.pos).Replace(field)
		headers := []string{"X-Api-Key", secret}
		if strings.HasPrefix(field, "subscription") {
			headers = append(headers, "Accept", "text/event-stream")
		}
		got := w.ask(query, nil, headers...)
		kind := got.kind()
		if got.header.Get("Content-Type") == "text/event-stream" {
			kind = kindOf(got.body)
		}
		if letters[kind] != want {
			w.t.Errorf("%s in column %d: %q, want %s: %s", name, column, kind, want, got.body)
		}
		if strings.Contains(got.body, "canary") {
			w.t.Errorf("%s shows a secret: %s", name, got.body)
		}
		if column >= 4 && role != tenant.Platform && want == "y" && name != "putProfile" {
			for _, id := range []string{own.job, own.key, own.schedule, own.hook, own.delivery, `"` + own.tenant + `"`} {
				if strings.Contains(got.body, id) {
					w.t.Errorf("%s shows %s to a stranger: %s", name, id, got.body)
				}
			}
		}
	}
}

// kindOf is the kind of the error in the text of a stream.
func kindOf(body string) string {
	if !strings.HasSuffix(body, "event: complete\ndata:\n\n") {
		return "broken off"
	}
	_, failed, _ := strings.Cut(body, `"errors":`)
	_, rest, _ := strings.Cut(failed, `"kind":"`)
	kind, _, _ := strings.Cut(rest, `"`)
	return kind
}

// tenant makes a tenant with a cancelled job, a key, and a key of the role.
func (w *world) tenant(id string, role tenant.Role) objects {
	w.t.Helper()
	ctx, o, of := w.t.Context(), objects{tenant: id}, tenant.ID(id)
	_, err := w.svc.CreateTenant(ctx, root(), of, service.TenantChange{})
	must(w.t, err)
	k, err := w.svc.CreateKey(ctx, root(), of, service.KeyRequest{Name: "weak", Role: tenant.Viewer})
	must(w.t, err)
	o.key = k.Key.ID
	k, err = w.svc.CreateKey(ctx, root(), of, service.KeyRequest{Name: "caller", Role: role})
	must(w.t, err)
	o.secret = k.Secret.Reveal()
	us := tenant.NewPrincipal(of, "us", tenant.All()...)
	r, err := w.svc.Submit(ctx, us, []job.Spec{{VMPath: "/DC/vm/web-01"}}, service.SubmitOptions{})
	must(w.t, err)
	o.job = r.Jobs[0].ID
	_, err = w.svc.Cancel(ctx, us, o.job, "") // its stream ends
	must(w.t, err)
	_, err = w.svc.PutProfile(ctx, us, id, []byte("defaults: {format: raw}"), "application/yaml")
	must(w.t, err)
	sch, err := w.svc.CreateSchedule(ctx, us, schedule.Definition{Name: "nightly", Cron: "@yearly", Jobs: []job.Spec{{VMPath: "/DC/vm/web-01"}}})
	must(w.t, err)
	o.schedule = sch.ID
	hook, err := w.svc.CreateWebhook(ctx, us, webhook.Definition{Name: "ops", URL: "https://hooks.example.com/T0/canary"})
	must(w.t, err)
	test, err := w.svc.TestWebhook(ctx, us, "ops")
	must(w.t, err)
	o.hook, o.delivery = hook.Webhook.ID, test.ID
	_, err = w.store.Sequence(ctx, 1000)
	must(w.t, err)
	page, err := service.NewAudit(w.store).Entries(ctx, us, service.AuditQuery{Tenant: of})
	must(w.t, err)
	o.pos = fmt.Sprint(page.Entries[0].Pos)
	return o
}

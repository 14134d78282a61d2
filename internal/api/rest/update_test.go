package rest_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

func wantCode(t *testing.T, err error, status int, code string) {
	t.Helper()
	var e *client.Error
	if !errors.As(err, &e) || e.Status != status || e.Code != code || e.Fix == "" {
		t.Fatalf("got %v, want %d %s", err, status, code)
	}
}

func TestPauseAndPriority(t *testing.T) {
	w := newWorld(t)
	ids := w.submit(3)
	ctx := t.Context()
	j, err := w.api.Pause(ctx, ids[0], "maintenance")
	must(t, err)
	if !j.Paused || j.WaitReason != "paused" || j.Status != client.Pending {
		t.Fatalf("%+v", j)
	}
	j, err = w.api.SetPriority(ctx, ids[2], "critical")
	must(t, err)
	if j.Priority != "critical" || j.Spec.Priority != "normal" {
		t.Fatalf("%+v", j)
	}
	l := w.claim()
	if l.Job.ID != ids[2] {
		t.Fatalf("claimed %s", l.Job.ID)
	}
	_, err = w.api.SetPriority(ctx, ids[2], "low")
	wantCode(t, err, 409, "HX-JOB-043")
	_, err = w.api.Pause(ctx, ids[2], "")
	wantCode(t, err, 409, "HX-JOB-043")
	_, err = w.api.Pause(ctx, "nobody", "")
	var e *client.Error
	if !errors.As(err, &e) || e.Status != 404 {
		t.Fatal(err)
	}
	if got := w.call("PATCH", "/jobs/"+ids[1], `{"priority":"urgent"}`, "Content-Type", "application/json"); got.status != 422 && got.status != 400 {
		t.Fatalf("%+v", got)
	}
	if got := w.claim().Job.ID; got != ids[1] {
		t.Fatalf("claimed %s, which is paused or unknown", got)
	}
	if j, err = w.api.Resume(ctx, ids[0]); err != nil || j.Paused || j.WaitReason != "slot" {
		t.Fatalf("%+v, %v", j, err)
	}
	if got := w.claim().Job.ID; got != ids[0] {
		t.Fatalf("claimed %s", got)
	}
}

func TestRetryByHand(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	l := w.claim()
	_, err := w.api.Retry(t.Context(), id)
	wantCode(t, err, 409, "HX-JOB-044")
	_, err = w.store.Apply(t.Context(), l, job.FailWith("n1", fault.New(fault.Conflict, "HX-TEST-009", "the output is there already", "remove it")))
	must(t, err)
	for range 2 { // the second changes nothing
		j, err := w.api.Retry(t.Context(), id)
		must(t, err)
		if j.Status != client.Pending || j.Attempt != 0 || j.FinishedAt != nil || j.StartedAt != nil || j.Error == nil {
			t.Fatalf("%+v", j)
		}
	}
	l = w.claim()
	if l.Job.ID != id || l.Job.Attempt != 1 {
		t.Fatalf("%+v", l.Job)
	}
	w.complete(l)
	_, err = w.api.Retry(t.Context(), id)
	wantCode(t, err, 409, "HX-JOB-044")
	var kinds []string
	for u, err := range w.api.Events(t.Context(), id, 0) {
		must(t, err)
		if u.Event != nil {
			kinds = append(kinds, strings.TrimPrefix(u.Event.Kind, "job."))
		}
	}
	if got := strings.Join(kinds, " "); got != "submitted started failed restarted started completed" {
		t.Error(got)
	}
}

func TestBulk(t *testing.T) {
	w := newWorld(t)
	ids := w.submit(450)
	running := w.claim()
	bulk := func(b client.BulkRequest) client.BulkResult {
		t.Helper()
		r, err := w.api.Bulk(t.Context(), b)
		must(t, err)
		return r
	}
	all := client.BulkFilter{VM: "web-*"}
	if r := bulk(client.BulkRequest{Action: "cancel", Filter: all, DryRun: true}); r.Matched != 450 || r.Changed != 0 || !r.DryRun {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "pause", Filter: all}); r.Matched != 449 || r.Changed != 449 {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "pause", Filter: all}); r.Changed != 0 || r.Unchanged != 449 {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "priority", Priority: "low", Filter: client.BulkFilter{JobIDs: ids[:10]}}); r.Changed != 9 {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "cancel", Filter: client.BulkFilter{Priority: []string{"low"}}, Reason: "why"}); r.Changed != 9 {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "retry", Filter: all}); r.Matched != 9 || r.Changed != 9 {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "resume", Filter: all}); r.Changed != 440 || r.Unchanged != 9 {
		t.Fatalf("%+v", r)
	}
	if r := bulk(client.BulkRequest{Action: "cancel", Filter: all}); r.Changed != 450 || r.Failed != 0 {
		t.Fatalf("%+v", r)
	}
	if j, err := w.api.Get(t.Context(), running.Job.ID); err != nil || j.Status != client.Cancelling {
		t.Fatalf("%+v, %v", j, err)
	}
	_, err := w.api.Bulk(t.Context(), client.BulkRequest{Action: "cancel"})
	wantCode(t, err, 400, "HX-JOB-027")
	_, err = w.api.Bulk(t.Context(), client.BulkRequest{Action: "retry", Filter: all, Priority: "low"})
	wantCode(t, err, 400, "HX-JOB-028")
}

func TestExplain(t *testing.T) {
	w := newWorld(t)
	ids := w.submit(2)
	explain := func(id string) client.Explanation {
		t.Helper()
		e, err := w.api.Explain(t.Context(), id)
		must(t, err)
		return e
	}
	e := explain(ids[1])
	if e.Reason != "slot" || e.Detail.Ahead != 1 || e.Detail.WaitingSince == nil || e.NextClaim || len(e.Remedy) != 2 ||
		e.Remedy[0].Action != "priority" || e.Remedy[0].To != "critical" || e.Remedy[1].Action != "add_workers" || e.Remedy[1].N != 1 {
		t.Errorf("%+v", e)
	}
	_, err := w.api.Pause(t.Context(), ids[0], "")
	must(t, err)
	if e = explain(ids[0]); e.Reason != "paused" || e.Remedy[0].Action != "resume" || e.Message != "the job is paused" {
		t.Errorf("%+v", e)
	}
	l := w.claim()
	if e = explain(ids[1]); e.Reason != "" || e.Status != client.Running || len(e.Remedy) != 0 || e.Message != "the job does not wait: it is running" {
		t.Errorf("%+v", e)
	}
	_, err = w.store.Apply(t.Context(), l, job.RetryAt("n1", fault.New(fault.Unavailable, "HX-TEST-008", "down", ""), time.Now().Add(time.Hour)))
	must(t, err)
	if e = explain(ids[1]); e.Reason != "not_before" || e.Remedy[0].Action != "retry" || e.Detail.NotBefore == nil || !strings.HasPrefix(e.Message, "attempt 1 of 3 failed") {
		t.Errorf("%+v", e)
	}
	at := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	s, err := w.api.Submit(t.Context(), client.Spec{VMPath: "/DC/vm/web-02", OutputPath: "out", NotBefore: &at})
	must(t, err)
	if e = explain(s.JobIDs[0]); e.Reason != "not_before" || e.Remedy[0].Action != "wait_until" || !e.Remedy[0].At.Equal(at) {
		t.Errorf("%+v", e)
	}
	_, err = w.api.Explain(t.Context(), "nobody")
	wantCode(t, err, 404, "HX-JOB-041")
}

// Mistaken and hostile requests are refused, and change nothing.
func TestUpdatesRefused(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	for name, c := range map[string]struct{ method, path, body string }{
		"no priority":         {"PATCH", "/jobs/" + id, `{}`},
		"unknown priority":    {"PATCH", "/jobs/" + id, `{"priority":"urgent"}`},
		"number":              {"PATCH", "/jobs/" + id, `{"priority":0}`},
		"another field":       {"PATCH", "/jobs/" + id, `{"priority":"low","status":"completed"}`},
		"no body":             {"PATCH", "/jobs/" + id, ``},
		"long reason":         {"POST", "/jobs/" + id + "/pause", `{"reason":"` + strings.Repeat("x", 1025) + `"}`},
		"unknown action":      {"POST", "/jobs/bulk", `{"action":"delete","filter":{"vm":"*"}}`},
		"no action":           {"POST", "/jobs/bulk", `{"filter":{"vm":"*"}}`},
		"no filter":           {"POST", "/jobs/bulk", `{"action":"cancel"}`},
		"empty filter":        {"POST", "/jobs/bulk", `{"action":"cancel","filter":{}}`},
		"empty lists":         {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"status":[],"job_ids":[]}}`},
		"misspelt filter":     {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"vms":"web-01"}}`},
		"limit in the filter": {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"vm":"*","limit":1}}`},
		"repeated key":        {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"vm":"nothing"},"filter":{"vm":"*"}}`},
		"unknown status":      {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"status":["waiting"]}}`},
		"too many ids":        {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"job_ids":[` + strings.TrimSuffix(strings.Repeat(`"x",`, 1001), ",") + `]}}`},
		"no new priority":     {"POST", "/jobs/bulk", `{"action":"priority","filter":{"vm":"*"}}`},
		"a tenant's":          {"POST", "/jobs/bulk", `{"action":"cancel","filter":{"vm":"*","tenant":"other"}}`},
	} {
		got := w.call(c.method, c.path, c.body, "Content-Type", "application/json")
		if p := got.problem(t); got.status < 400 || got.status >= 500 || p.Code == "" || p.Fix == "" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	j, err := w.api.Get(t.Context(), id)
	must(t, err)
	if j.Status != client.Pending || j.Priority != "normal" || j.Paused {
		t.Errorf("%+v", j)
	}
}

package graph_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// A list of jobs without nested objects is written by the door itself: to the letter
// what the executor writes of the same fields, which it does as soon as there is a
// nested one.
func TestPlainJobs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.oddJobs()
	var leaves []string
	for _, f := range loadSchema(t).Types["Job"].Fields {
		if len(f.Arguments) == 0 && loadSchema(t).Types[f.Type.Name()].IsLeafType() {
			leaves = append(leaves, f.Name)
		}
	}
	if len(leaves) < 25 {
		t.Fatal(leaves)
	}
	all := strings.Join(leaves, " ") + " __typename"
	for _, fields := range append(leaves, all, "a:id b:id id", "...on Job{id ...f}", "id @skip(if:true) name @include(if:true)") {
		for query, at := range map[string][]string{"{jobs{%}}": {"jobs"}, "{jobsConnection{nodes{%} edges{node{id}}}}": {"jobsConnection", "nodes"}} {
			suffix := ""
			if strings.Contains(fields, "...f") {
				suffix = " fragment f on Job{status}"
			}
			fast := w.ask(strings.Replace(query, "%", fields, 1)+suffix, nil)
			slow := w.ask(strings.Replace(query, "%", fields+" failure{code}", 1)+suffix, nil)
			got, want := list(t, fast, at), list(t, slow, at)
			want = strings.NewReplacer(`,"failure":null`, "", `"failure":null`, "", `,"failure":{"code":"HX-X-1"}`, "", `"failure":{"code":"HX-X-1"}`, "").Replace(want)
			if got != want || len(fast.Errors) > 0 || !strings.HasPrefix(got, `[{`) {
				t.Errorf("%s of %s\ngot  %s\nwant %s", fields, query, got, want)
			}
		}
	}
}

// list is a part of an answer as it was written.
func list(t *testing.T, r reply, at []string) string {
	t.Helper()
	var body struct {
		Data json.RawMessage `json:"data"`
	}
	must(t, json.Unmarshal([]byte(r.body), &body))
	text := body.Data
	for _, name := range at {
		var parts map[string]json.RawMessage
		if err := json.Unmarshal(text, &parts); err != nil {
			t.Fatal(err, r.body)
		}
		text = parts[name]
	}
	return string(text)
}

// oddJobs are a job that waits, one that is paused, one that was cancelled, one that
// runs, one that failed, and one that is complete, with texts that must be escaped.
func (w *world) oddJobs() {
	w.t.Helper()
	ctx := w.t.Context()
	later, odd := time.Now().Add(time.Hour), "<a>&\"\\\t\r\n\u2028é世"
	var specs []job.Spec
	for range 6 {
		specs = append(specs, job.Spec{VMPath: "/DC/vm/<web>&\"01\"é", Name: "n", OutputPath: "a/b"})
	}
	specs[0].NotBefore, specs[0].Labels = &later, map[string]string{"k": `<a>&"\é世`, "a": "b"}
	specs[1].NotBefore, specs[2].NotBefore = &later, &later
	r, err := w.svc.Submit(ctx, root(), specs, service.SubmitOptions{})
	must(w.t, err)
	if len(r.Refused) > 0 {
		w.t.Fatal(r.Refused[0].Error)
	}
	_, err = w.svc.Pause(ctx, root(), r.Jobs[1].ID, "")
	must(w.t, err)
	_, err = w.svc.Cancel(ctx, root(), r.Jobs[2].ID, odd)
	must(w.t, err)
	var leases []dispatch.Lease
	for range 3 {
		l, err := w.store.Claim(ctx, "n1", time.Minute, 1)
		must(w.t, err)
		leases = append(leases, l...)
	}
	if len(leases) != 3 {
		w.t.Fatal(len(leases))
	}
	_, err = w.store.Renew(ctx, leases[0], time.Minute, &job.Progress{Phase: "copying", Percent: 100.0 / 3, UpdatedAt: time.Now().UTC()})
	must(w.t, err)
	_, err = w.store.Apply(ctx, leases[1], job.CompleteWith("n1", job.Outcome{
		Artifacts: []job.Artifact{{Name: "a.ova", URL: "file:///a.ova", Format: "ova"}}, Receipt: json.RawMessage(`{"receipt":{"version":1},"signature":{}}`),
	}))
	must(w.t, err)
	_, err = w.store.Apply(ctx, leases[2], job.FailWith("n1", fault.New(fault.Corrupt, "HX-X-1", odd, odd)))
	must(w.t, err)
}

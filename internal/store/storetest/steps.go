package storetest

import (
	"reflect"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// flow is a workflow of two steps.
func flow() job.Spec {
	return job.Spec{Name: "flow", Jobs: []job.Step{
		{ID: "e", Type: "export", VMPath: "/DC/vm/Web-01"},
		{ID: "h", Type: "webhook", URL: "https://h/x", DependsOn: job.Names{"e"}},
	}}.WithDefaults()
}

// testSteps: the states of steps are kept with their events and under the fence,
// and what the executors saved goes when the job ends.
func testSteps(w *world) {
	j := w.submit(func(s *job.Spec) { *s = flow() })
	if got := w.job(j.ID).Steps; len(got) != 2 || got[1].ID != "h" || got[1].State != job.StepPending {
		w.Fatalf("before it runs: %+v", got)
	}
	leases, err := w.Claim(w.ctx, "a", lease, 1)
	w.must(err)
	l := leases[0]
	steps := w.Steps(l)
	w.wantKind(steps.SaveToken(w.ctx, "e", []byte("t")), fault.NotFound)
	e := job.StepState{ID: "e", Type: "export"}
	e.Begin(w.now())
	w.must(steps.Save(w.ctx, 0, e, nil))
	w.must(steps.SaveToken(w.ctx, "e", []byte("t")))
	e.Artifacts = []job.Artifact{{Name: "a", Bytes: 7}}
	e.End(job.StepCompleted, nil, "", w.now())
	w.must(steps.Save(w.ctx, 0, e, []byte(`{"r":1}`)))
	h := job.StepState{ID: "h", Type: "webhook"}
	h.Begin(w.now())
	h.End(job.StepFailed, errTest, "", w.now())
	w.must(steps.Save(w.ctx, 1, h, nil))

	saved, err := steps.Load(w.ctx)
	w.must(err)
	want := map[string]dispatch.StepRecord{"e": {State: e, Receipt: []byte(`{"r":1}`), Token: []byte("t")}, "h": {State: h}}
	if !reflect.DeepEqual(saved["e"], want["e"]) || !reflect.DeepEqual(saved["h"].State, h) {
		w.Errorf("saved: %+v", saved)
	}
	if got := w.job(j.ID).Steps; !reflect.DeepEqual(got, []job.StepState{e, h}) {
		w.Errorf("shown: %+v", got)
	}
	var kinds []string
	for _, k := range w.kinds(j.ID) {
		kinds = append(kinds, string(k))
	}
	if got := strings.Join(kinds, " "); got != "job.submitted job.started step.started step.completed step.failed" {
		w.Errorf("events: %s", got)
	}

	id, err := w.Ledger(l).Of("e", "s3").Intend(w.ctx, "multipart", "{}")
	w.must(err)
	if open, err := w.Ledger(l).Of("h", "s3").Open(w.ctx); err != nil || len(open) != 0 {
		w.Errorf("another step's ledger: %v, %v", open, err)
	}
	if open, err := w.Ledger(l).Of("e", "vsphere").Open(w.ctx); err != nil || len(open) != 1 || open[0].ID != id || open[0].Provider != "s3" {
		w.Errorf("its ledger: %v, %v", open, err)
	}

	w.apply(l, job.FailWith("a", errTest))
	w.wantKind(steps.Save(w.ctx, 1, h, nil), fault.Conflict)
	w.wantKind(steps.SaveToken(w.ctx, "e", []byte("late")), fault.Conflict)
	saved, err = steps.Load(w.ctx)
	w.must(err)
	if saved["e"].Token != nil || string(saved["e"].Receipt) != `{"r":1}` {
		w.Errorf("after the end: %+v", saved["e"])
	}

	w.must(w.Forget(w.ctx, id))
	w.advance(time.Hour)
	n, err := w.DeleteOldJobs(w.ctx, service.JobRule{Before: w.now()}, "tester", 10)
	w.must(err)
	if n != 1 {
		w.Errorf("%d workflows are deleted", n)
	}
	if saved, err = steps.Load(w.ctx); err != nil || len(saved) != 0 {
		w.Errorf("a deleted workflow leaves %v, %v", saved, err)
	}
}

// testRestartSteps: a workflow that is retried by hand keeps what completed, with
// its receipt, and knows nothing of the rest; the lease before is stale.
func testRestartSteps(w *world) {
	l := w.running(func(s *job.Spec) { *s = flow() })
	e, h := job.StepState{ID: "e", Type: "export"}, job.StepState{ID: "h", Type: "webhook"}
	e.Begin(w.now())
	e.End(job.StepCompleted, nil, "", w.now())
	h.Begin(w.now())
	h.End(job.StepFailed, errTest, "", w.now())
	steps := w.Steps(l)
	w.must(steps.Save(w.ctx, 0, e, []byte(`{"r":1}`)))
	w.must(steps.Save(w.ctx, 1, h, nil))
	w.apply(l, job.FailWith("a", errTest))
	w.mustChange(l.Job.ID, job.RestartBy(""))
	if got := w.job(l.Job.ID).Steps; !reflect.DeepEqual(got, []job.StepState{e, {ID: "h", Type: "webhook", State: job.StepPending}}) {
		w.Errorf("it goes on from %+v", got)
	}
	again := w.claim()
	saved, err := w.Steps(again).Load(w.ctx)
	w.must(err)
	if len(saved) != 1 || string(saved["e"].Receipt) != `{"r":1}` || again.Job.Attempt != 1 {
		w.Errorf("attempt %d finds %+v", again.Job.Attempt, saved)
	}
	w.wantKind(steps.Save(w.ctx, 1, h, nil), fault.Conflict)
}

package storetest

import (
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// completed submits a job of a VM and completes it with an artifact.
func (w *world) completed(s tenant.Scope, vm string) job.Job {
	w.Helper()
	w.submitTo(s, func(j *job.Spec) { j.VMPath = vm })
	o := job.Outcome{Artifacts: []job.Artifact{{Name: "x.ova", Path: "/out/x/x.ova", Bytes: 7}}, Receipt: []byte(`{}`)}
	return w.apply(w.claim(), job.CompleteWith("a", o))
}

func testOldArtifacts(w *world) {
	begin := w.now()
	var web []job.Job
	for range 4 {
		web = append(web, w.completed(w.ours, "/DC/vm/Web"))
		w.advance(24 * time.Hour)
	}
	db := w.completed(w.ours, "/DC/vm/db")
	foreign := w.completed(w.theirs, "/DC/vm/web")
	w.apply(w.running(), job.FailWith("a", fault.New(fault.Corrupt, "HX-TEST-001", "bad", "")))
	w.submit()
	ids := func(r service.ArtifactRule, after int64, limit int) (all []string) {
		w.Helper()
		jobs, err := w.OldArtifacts(w.ctx, r, after, limit)
		w.must(err)
		for _, j := range jobs {
			all = append(all, j.ID)
			if len(j.Artifacts) != 1 || j.Node != "a" {
				w.Errorf("%+v", j)
			}
		}
		return all
	}
	want := func(r service.ArtifactRule, jobs ...job.Job) {
		w.Helper()
		var all []string
		for _, j := range jobs {
			all = append(all, j.ID)
		}
		if got := ids(r, 0, 10); !slices.Equal(got, all) {
			w.Errorf("%+v selects %v, want %v", r, got, all)
		}
	}
	want(service.ArtifactRule{})
	want(service.ArtifactRule{Before: begin})
	want(service.ArtifactRule{Before: begin.Add(25 * time.Hour)}, web[0], web[1])
	want(service.ArtifactRule{Keep: 3}, web[0])
	want(service.ArtifactRule{Keep: 1}, web[0], web[1], web[2])
	want(service.ArtifactRule{Keep: 2, Before: begin.Add(time.Hour)}, web[0], web[1])
	want(service.ArtifactRule{Before: w.now().Add(time.Hour)}, web[0], web[1], web[2], web[3], db, foreign)
	if got := ids(service.ArtifactRule{Keep: 1}, web[0].Seq, 1); !slices.Equal(got, []string{web[1].ID}) {
		w.Errorf("a page: %v", got)
	}

	for range 2 {
		w.must(w.ArtifactsRemoved(w.ctx, web[0].ID, "tester", "too old"))
	}
	want(service.ArtifactRule{Keep: 1}, web[1], web[2])
	if j := w.job(web[0].ID); j.ArtifactsRemovedAt == nil || !j.ArtifactsRemovedAt.Equal(w.now()) || len(j.Artifacts) != 1 {
		w.Errorf("%+v", j)
	}
	if n := w.removals(web[0].ID, "too old"); n != 1 {
		w.Errorf("%d events", n)
	}
}

func (w *world) removals(id, reason string) (n int) {
	w.Helper()
	events, err := w.Reader(w.ours).Events(w.ctx, id, 0, 100)
	w.must(err)
	for _, e := range events {
		if e.Kind == event.ArtifactsRemoved && e.Actor == "tester" && e.Data.Reason == reason {
			n++
		}
	}
	return n
}

func testOldJobs(w *world) {
	old := w.completed(w.ours, "/DC/vm/a")
	bare := w.submit()
	w.cancel(bare.ID, "")
	foreign := w.completed(w.theirs, "/DC/vm/a")
	owing := w.running()
	_, err := w.Ledger(owing).Intend(w.ctx, "snapshot", "x")
	w.must(err)
	w.apply(owing, job.FailWith("a", fault.New(fault.Corrupt, "HX-TEST-001", "bad", "")))
	w.must(w.onScheduleOf("s", []string{old.ID}))
	w.advance(time.Hour)
	young := w.completed(w.ours, "/DC/vm/a")
	waits := w.submit()
	r := service.JobRule{Before: w.now()}
	spared := service.JobRule{Before: w.now(), KeepArtifacts: true}
	count := func(r service.JobRule, limit int) int {
		w.Helper()
		n, err := w.CountOldJobs(w.ctx, r, limit)
		w.must(err)
		return n
	}
	if a, b, c := count(r, 10), count(spared, 10), count(r, 2); a != 3 || b != 1 || c != 2 {
		w.Fatalf("%d, %d and %d jobs are old", a, b, c)
	}
	remove := func(r service.JobRule, limit, want int) {
		w.Helper()
		n, err := w.DeleteOldJobs(w.ctx, r, "tester", limit)
		w.must(err)
		if n != want {
			w.Fatalf("%d jobs are deleted, want %d", n, want)
		}
	}
	remove(spared, 10, 1)
	_, err = w.Reader(w.ours).Job(w.ctx, bare.ID)
	w.wantKind(err, fault.NotFound)
	remove(r, 1, 1)
	remove(r, 10, 1)
	remove(r, 10, 0)
	for _, j := range []job.Job{old, foreign} {
		for _, s := range []tenant.Scope{w.ours, w.theirs} {
			events, err := w.Reader(s).Events(w.ctx, j.ID, 0, 10)
			w.must(err)
			if len(events) != 0 {
				w.Errorf("events of %s are left", j.ID)
			}
		}
	}
	var summary []string
	for _, s := range []tenant.Scope{w.ours, w.theirs} {
		events, err := w.Reader(s).Events(w.ctx, "", 0, 10)
		w.must(err)
		for _, e := range events {
			if e.Kind == event.RetentionRemoved && e.Actor == "tester" && e.Data.Subject == "jobs" {
				summary = append(summary, e.Tenant+" "+e.Data.Reason)
			}
		}
	}
	if len(summary) != 3 || !strings.HasPrefix(summary[1], "ours 1 jobs that ended before 2026-03-01 13:00, and their 3 events") || !strings.HasPrefix(summary[2], "theirs 1 jobs") {
		w.Errorf("%q", summary)
	}
	w.wantState(young.ID, job.Completed)
	w.wantState(waits.ID, job.Pending)
	w.wantState(owing.Job.ID, job.Failed)
	orphans, err := w.Orphans(w.ctx)
	w.must(err)
	if !slices.ContainsFunc(orphans, func(e provider.LedgerEntry) bool { return e.JobID == owing.Job.ID }) {
		w.Errorf("the ledger has %+v", orphans)
	}
}

// onScheduleOf makes a schedule that waits for jobs.
func (w *world) onScheduleOf(name string, ids []string) error {
	s := w.schedule(w.ours, name)
	return w.onSchedule(name, func(tx service.Tx, _ *schedule.Schedule) error { return tx.TrackJobs(s.ID, ids) })
}

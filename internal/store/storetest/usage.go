package storetest

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (w *world) usage(s tenant.Scope, from, to tenant.Month) []tenant.Usage {
	w.Helper()
	months, err := w.Usage(w.ctx, s, from, to)
	w.must(err)
	return months
}

func (w *world) wantUsage(want ...tenant.Usage) {
	w.Helper()
	got := w.usage(w.ours, "0001-01", "9999-12")
	if len(got) != len(want) {
		w.Fatalf("%d months: %+v", len(got), got)
	}
	for i := range want {
		if got[i] != want[i] {
			w.Errorf("used %+v\nwant %+v", got[i], want[i])
		}
	}
}

func testUsage(w *world) {
	w.found(tenant.Limits{})
	l := w.running() // in March
	w.advance(10 * time.Second)
	done := job.CompleteWith("a", job.Outcome{
		Artifacts: []job.Artifact{{Name: "a", Bytes: 3}, {Name: "b", Bytes: 4}}, BytesRead: 100, BytesTransferred: 50,
	})
	w.apply(l, done)
	for range 2 { // an end that is reported again is none
		_, err := w.Apply(w.ctx, l, done)
		w.wantKind(err, fault.Conflict)
	}
	w.cancel(l.Job.ID, "late")
	march := tenant.Usage{Month: "2026-03", Completed: 1, BytesRead: 100, BytesTransferred: 50, BytesStored: 7, Seconds: 10}
	w.wantUsage(march)

	// One that never ran costs nothing but the count; a failed one what it had done.
	never := w.submit()
	w.cancel(never.ID, "why")
	w.cancel(never.ID, "why")
	l = w.running()
	_, err := w.Renew(w.ctx, l, lease, &job.Progress{Phase: "copying", BytesRead: 30, BytesTotal: 90, BytesTransfer: 20, UpdatedAt: w.now()})
	w.must(err)
	w.advance(5 * time.Second)
	w.apply(l, job.FailWith("a", errTest))
	march.Cancelled, march.Failed, march.BytesRead, march.BytesTransferred, march.Seconds = 1, 1, 130, 70, 15
	w.wantUsage(march)

	// A job counts in the month in which it ends.
	w.advance(30*24*time.Hour + 11*time.Hour)
	l = w.running()
	w.advance(2 * time.Hour)
	_, err = w.Renew(w.ctx, l, lease, &job.Progress{Phase: "verifying", BytesRead: 1, BytesTotal: 90, BytesTransfer: 60, UpdatedAt: w.now()})
	w.must(err)
	w.cancel(l.Job.ID, "")
	w.apply(l, job.SettleBy("a"))
	april := tenant.Usage{Month: "2026-04", Cancelled: 1, BytesRead: 90, BytesTransferred: 60, Seconds: 7200}
	w.wantUsage(march, april)
	if got := w.usage(w.ours, "2026-04", "2026-04"); len(got) != 1 || got[0] != april {
		w.Errorf("April alone: %+v", got)
	}
	if got := w.usage(w.theirs, "0001-01", "9999-12"); len(got) != 0 {
		w.Errorf("a stranger used %+v", got)
	}
	a, err := w.Tenant(w.ctx, w.ours)
	w.must(err)
	if a.StoredBytes != 7 {
		w.Errorf("%d bytes are stored", a.StoredBytes)
	}
}

// testUsageOfRuns: the time of each run counts, the time between them does not,
// nor that between a worker's death and the moment when it is noticed.
func testUsageOfRuns(w *world) {
	l := w.running()
	w.advance(3 * time.Second)
	w.apply(l, job.RetryAt("a", errTest, w.now().Add(time.Minute)))
	w.advance(time.Hour)
	l = w.claim()
	w.advance(4 * time.Second)
	_, err := w.Renew(w.ctx, l, lease, &job.Progress{Phase: "copying", BytesTransfer: 1, UpdatedAt: w.now()})
	w.must(err)
	w.advance(24 * time.Hour) // the node is off
	n, err := w.Reap(w.ctx)
	w.must(err)
	if n != 1 {
		w.Fatalf("%d leases are taken back", n)
	}
	w.wantUsage(tenant.Usage{Month: "2026-03", Seconds: 7})
	w.claim()
	w.advance(2 * time.Second) // it dies before it reports anything
	w.advance(time.Hour)
	_, err = w.Reap(w.ctx)
	w.must(err)
	l = w.claim()
	w.advance(5 * time.Second)
	w.apply(l, job.CompleteWith("a", job.Outcome{BytesRead: 9}))
	w.wantUsage(tenant.Usage{Month: "2026-03", Completed: 1, BytesRead: 9, Seconds: 12})
}

// testDrain: a deleted tenant takes no jobs, what waits is cancelled, what runs
// ends, and then it is gone for good.
func testDrain(w *world) {
	w.found(tenant.Limits{})
	us := tenant.NewPrincipal("ours", "us", tenant.All()...)
	svc := w.service()
	made, err := svc.CreateKey(w.ctx, us, "", service.KeyRequest{Name: "ci", Role: tenant.Viewer})
	w.must(err)
	_, err = svc.CreateSchedule(w.ctx, us, schedule.Definition{Name: "nightly", Cron: "@daily", Jobs: []job.Spec{{VMPath: "/a"}}})
	w.must(err)
	l := w.running()
	again := w.running()
	w.apply(again, job.RetryAt("a", errTest, w.now().Add(time.Hour))) // it has something to clean up
	var waiting []job.Job
	for range 250 {
		waiting = append(waiting, w.submit())
	}
	a, err := svc.DeleteTenant(w.ctx, root(), "ours")
	w.must(err)
	if a.State != tenant.Draining || !a.Paused {
		w.Fatalf("it is %s, paused: %v", a.State, a.Paused)
	}
	k, _, err := w.KeyByDigest(w.ctx, made.Key.Digest)
	w.must(err)
	if k.RevokedAt == nil {
		w.Error("its key still works")
	}
	if page, err := svc.Schedules(w.ctx, us, 0, ""); err != nil || len(page.Items) != 0 {
		w.Errorf("its schedules: %v, %v", page.Items, err)
	}
	for range 5 { // a daemon that begins anew goes on
		_, _, err := w.Drain(w.ctx)
		w.must(err)
	}
	w.wantState(waiting[0].ID, job.Cancelled)
	w.wantState(waiting[249].ID, job.Cancelled)
	w.wantState(again.Job.ID, job.Cancelling)
	w.wantState(l.Job.ID, job.Running)
	_, err = svc.Submit(w.ctx, us, []job.Spec{{VMPath: "/a"}}, service.SubmitOptions{})
	w.wantKind(err, fault.Conflict)
	_, err = svc.CreateKey(w.ctx, root(), "ours", service.KeyRequest{Name: "x", Role: tenant.Viewer})
	w.wantKind(err, fault.Conflict)

	w.apply(l, job.CompleteWith("a", job.Outcome{}))
	cleanup, err := w.ClaimCleanup(w.ctx, "a", lease, 1)
	w.must(err)
	if _, _, err = w.Drain(w.ctx); err != nil {
		w.Fatal(err)
	}
	if a, err = svc.Tenant(w.ctx, root(), "ours"); err != nil || a.State != tenant.Draining {
		w.Fatalf("before the clean-up it is %s, %v", a.State, err)
	}
	w.apply(cleanup[0], job.SettleBy("a"))
	_, more, err := w.Drain(w.ctx)
	w.must(err)
	if more {
		w.Error("there is more to do")
	}
	_, err = svc.Tenant(w.ctx, root(), "ours")
	w.wantKind(err, fault.NotFound)
	_, err = svc.Submit(w.ctx, us, []job.Spec{{VMPath: "/a"}}, service.SubmitOptions{})
	w.wantKind(err, fault.NotFound)
	_, err = svc.CreateTenant(w.ctx, root(), "ours", service.TenantChange{}) // its jobs are still there
	w.wantKind(err, fault.Conflict)
	w.wantEvents(event.TenantCreated, event.KeyCreated, "schedule.created", event.TenantDraining, event.TenantDeleted)
	if _, months, err := svc.Usage(w.ctx, root(), "ours", "", ""); err != nil || len(months) != 1 || months[0].Cancelled != 251 || months[0].Completed != 1 {
		w.Errorf("its usage: %+v %v", months, err)
	}
}

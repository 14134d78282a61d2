package storetest

import (
	"reflect"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// schedule stores a schedule that is due in an hour.
func (w *world) schedule(s tenant.Scope, name string) schedule.Schedule {
	w.Helper()
	next := w.now().Add(time.Hour)
	due := next.Add(time.Minute)
	sch := schedule.Schedule{
		ID: "id-" + string(s.Tenant()) + "-" + name, Tenant: string(s.Tenant()),
		Spec: schedule.Definition{
			Name: name, Cron: "@hourly", TimeZone: "UTC", Overlap: schedule.Skip, CatchUp: schedule.Last,
			Jobs: []job.Spec{{VMPath: "/DC/vm/Büro", Labels: map[string]string{"a": "b"}}},
		},
		Next: &next, Due: &due, CreatedAt: w.now(), UpdatedAt: w.now(),
	}
	w.must(w.Update(w.ctx, s, func(tx service.Tx) error { return tx.InsertSchedule(&sch) }))
	return sch
}

// onSchedule runs fn in an update of ours and returns its error.
func (w *world) onSchedule(ref string, fn func(tx service.Tx, s *schedule.Schedule) error) error {
	return w.Update(w.ctx, w.ours, func(tx service.Tx) error {
		s, err := tx.Schedule(ref)
		if err != nil {
			return err
		}
		return fn(tx, &s)
	})
}

func testSchedules(w *world) {
	wake, stop := w.Watch(event.Schedules)
	defer stop()
	a := w.schedule(w.ours, "a")
	w.wantWake(wake)
	w.schedule(w.theirs, "a")
	w.schedule(w.ours, "b")
	r := w.Reader(w.ours)
	for _, ref := range []string{"a", a.ID} {
		got, err := r.Schedule(w.ctx, ref)
		w.must(err)
		if !reflect.DeepEqual(got, a) {
			w.Fatalf("stored %+v\nread   %+v", a, got)
		}
	}
	all, err := r.Schedules(w.ctx, "", 10)
	w.must(err)
	rest, err := r.Schedules(w.ctx, "a", 10)
	w.must(err)
	if len(all) != 2 || all[0].Spec.Name != "a" || len(rest) != 1 || rest[0].Spec.Name != "b" {
		w.Errorf("%+v, after a: %+v", all, rest)
	}
	twin := a
	twin.ID = "twin"
	w.wantKind(w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.InsertSchedule(&twin) }), fault.Conflict)
	w.wantKind(w.onSchedule("b", func(tx service.Tx, s *schedule.Schedule) error {
		s.Spec.Name = "a"
		return tx.SaveSchedule(s, service.ScheduleChanged)
	}), fault.Conflict)

	_, err = w.Reader(w.theirs).Schedule(w.ctx, a.ID)
	w.wantKind(err, fault.NotFound)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error { return tx.DeleteSchedule(a.ID) }), fault.NotFound)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error { return tx.SaveSchedule(&a, "") }), fault.Conflict)
	w.must(w.onSchedule("a", func(tx service.Tx, s *schedule.Schedule) error { return tx.DeleteSchedule(s.ID) }))
	_, err = r.Schedule(w.ctx, "a")
	w.wantKind(err, fault.NotFound)
}

func (w *world) wantWake(wake <-chan struct{}) {
	w.Helper()
	select {
	case <-wake:
	default:
		w.Error("nobody is woken")
	}
}

func testScheduleRevision(w *world) {
	w.schedule(w.ours, "a")
	old, err := w.Reader(w.ours).Schedule(w.ctx, "a")
	w.must(err)
	last := w.now()
	w.must(w.onSchedule("a", func(tx service.Tx, s *schedule.Schedule) error {
		s.LastRun, s.LastJobs, s.LastError, s.Queued = &last, []string{"x"}, &job.Failure{Kind: "exhausted", Message: "full"}, 2
		s.Next, s.Due = nil, nil
		return tx.SaveSchedule(s, "")
	}))
	got, err := w.Reader(w.ours).Schedule(w.ctx, "a")
	w.must(err)
	if !got.LastRun.Equal(last) || !slices.Equal(got.LastJobs, []string{"x"}) || got.LastError.Message != "full" || got.Queued != 2 || got.Next != nil || got.Due != nil {
		w.Errorf("%+v", got)
	}
	w.wantKind(w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.SaveSchedule(&old, "") }), fault.Conflict)
}

func testScheduleDue(w *world) {
	names := func() (all []string) {
		found, err := w.Due(w.ctx, w.now(), 10)
		w.must(err)
		for _, s := range found {
			all = append(all, s.Tenant+"/"+s.Spec.Name)
		}
		return all
	}
	next, err := w.NextDue(w.ctx)
	w.must(err)
	if !next.IsZero() || len(names()) != 0 {
		w.Fatalf("%v is due in an empty store", next)
	}
	w.schedule(w.ours, "a")
	w.advance(time.Second)
	w.schedule(w.theirs, "b")
	w.schedule(w.ours, "waits")
	w.schedule(w.ours, "paused")
	w.must(w.onSchedule("waits", func(tx service.Tx, s *schedule.Schedule) error {
		s.Queued, s.Next, s.Due = 1, nil, nil
		return tx.SaveSchedule(s, "")
	}))
	w.must(w.onSchedule("paused", func(tx service.Tx, s *schedule.Schedule) error {
		s.Queued, s.Spec.Paused = 1, true
		return tx.SaveSchedule(s, service.SchedulePaused)
	}))
	next, err = w.NextDue(w.ctx)
	w.must(err)
	if want := w.now().Add(time.Hour + time.Minute - time.Second); !next.Equal(want) {
		w.Errorf("next due %v, want %v", next, want)
	}
	if got := names(); !slices.Equal(got, []string{"ours/waits"}) {
		w.Errorf("%v", got)
	}
	w.advance(2 * time.Hour)
	if got := names(); !slices.Equal(got, []string{"ours/a", "theirs/b", "ours/waits"}) {
		w.Errorf("%v", got)
	}
}

func testScheduleRuns(w *world) {
	a := w.schedule(w.ours, "a")
	run := func(n int, outcome string) schedule.Run {
		return schedule.Run{ScheduleID: a.ID, Time: w.now().Add(time.Duration(n) * time.Hour), Outcome: outcome, At: w.now(), JobIDs: []string{"x"}}
	}
	insert := func(r schedule.Run) (first bool) {
		w.must(w.onSchedule("a", func(tx service.Tx, _ *schedule.Schedule) (err error) {
			first, err = tx.InsertRun(r)
			return err
		}))
		return first
	}
	reader := w.Reader(w.ours)
	if _, found, err := reader.QueuedRun(w.ctx, a.ID); found || err != nil {
		w.Fatalf("%v %v", found, err)
	}
	for n := range 110 {
		outcome := schedule.Submitted
		if n == 1 || n == 2 {
			outcome = schedule.Queued
		}
		if !insert(run(n, outcome)) {
			w.Fatalf("run %d is there", n)
		}
	}
	if insert(run(109, schedule.Skipped)) {
		w.Error("a run happened twice")
	}
	runs, err := reader.Runs(w.ctx, a.ID, 200)
	w.must(err)
	if len(runs) != 102 || !reflect.DeepEqual(runs[0], run(109, schedule.Submitted)) {
		w.Errorf("%d runs, the last %+v", len(runs), runs[0])
	}
	oldest, found, err := reader.QueuedRun(w.ctx, a.ID)
	w.must(err)
	if !found || !oldest.Time.Equal(run(1, "").Time) {
		w.Fatalf("%+v", oldest)
	}
	settle := func() error {
		return w.onSchedule("a", func(tx service.Tx, _ *schedule.Schedule) error { return tx.SettleRun(run(1, schedule.Refused)) })
	}
	w.must(settle())
	w.wantKind(settle(), fault.Conflict)
	strangers, err := w.Reader(w.theirs).Runs(w.ctx, a.ID, 10)
	if len(strangers) != 0 || err != nil {
		w.Errorf("a stranger sees %+v, %v", strangers, err)
	}
}

func testScheduleJobs(w *world) {
	a := w.schedule(w.ours, "a")
	jobs := []job.Job{w.submit(), w.submit(), w.submit()}
	ids := []string{jobs[0].ID, jobs[1].ID, jobs[2].ID}
	active := func() (ids []string) {
		w.must(w.onSchedule("a", func(tx service.Tx, s *schedule.Schedule) (err error) {
			ids, err = tx.ActiveJobs(s.ID)
			return err
		}))
		return ids
	}
	w.must(w.onSchedule("a", func(tx service.Tx, _ *schedule.Schedule) error { return tx.TrackJobs(a.ID, ids) }))
	if got := active(); !slices.Equal(got, ids) {
		w.Fatalf("%v", got)
	}
	w.apply(w.claim(), job.CompleteWith("a", job.Outcome{}))
	w.cancel(ids[1], "")
	w.claim()
	w.cancel(ids[2], "") // still cancelling
	if got := active(); !slices.Equal(got, ids[2:]) {
		w.Errorf("%v", got)
	}
}

package service_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// timed is a bench in virtual time that begins at a moment, with schedulers that
// a test starts and stops.
type timed struct {
	*bench
	mu     sync.Mutex
	offset time.Duration
	ran    []schedule.Run
	refuse error // what the validator says
}

// Validate implements service.Validator.
func (b *timed) Validate(ctx context.Context, s job.Spec) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refuse != nil {
		return b.refuse
	}
	return b.valid.Validate(ctx, s)
}

func (b *timed) setRefuse(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refuse = err
}

// inTime runs a test in a bubble whose clock starts at an instant.
func inTime(t *testing.T, start string, test func(b *timed)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		begin, err := time.Parse(time.RFC3339, start)
		if err != nil {
			t.Fatal(err)
		}
		b := &timed{bench: newBench(t, dir), offset: time.Until(begin)}
		defer b.close()
		b.deps.Now, b.deps.Validator = b.now, b
		b.deps.Hooks.ScheduleRan = func(r schedule.Run) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.ran = append(b.ran, r)
		}
		b.svc = service.New(b.store, b.deps)
		test(b)
	})
}

func (b *timed) now() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	return time.Now().Add(b.offset)
}

// begin starts a number of schedulers; stop ends them.
func (b *timed) begin(n int) (stop func()) {
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	for range n {
		x := service.NewScheduler(b.svc, b.store, slog.New(slog.DiscardHandler))
		wg.Go(func() {
			if err := x.Run(ctx); err != nil {
				b.Error(err)
			}
		})
	}
	synctest.Wait()
	return func() {
		cancel()
		wg.Wait()
	}
}

// until goes to an instant and lets the schedulers, which sleep through the
// leap, do what it brings.
func (b *timed) until(instant string) {
	b.Helper()
	at, err := time.Parse(time.RFC3339, instant)
	if err != nil {
		b.Fatal(err)
	}
	b.down(at.Sub(b.now()))
	b.pass(10 * time.Second)
}

// pass lets time pass for whoever runs; down lets it pass with nobody there.
func (b *timed) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func (b *timed) down(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.offset += d
}

func nightly(edit ...func(*schedule.Definition)) schedule.Definition {
	d := schedule.Definition{
		Name: "nightly", Cron: "30 2 * * *", TimeZone: "Europe/Berlin",
		Jobs: []job.Spec{{VMPath: "/DC/vm/web-01"}},
	}
	for _, e := range edit {
		e(&d)
	}
	return d
}

func (b *timed) create(d schedule.Definition) schedule.Schedule {
	b.Helper()
	s, err := b.svc.CreateSchedule(b.Context(), b.us, d)
	b.must(err)
	return s
}

func (b *timed) schedule(name string) schedule.Schedule {
	b.Helper()
	s, err := b.svc.Schedule(b.Context(), b.us, name)
	b.must(err)
	return s
}

// outcomes returns the runs of a schedule as "time outcome", the oldest first.
func (b *timed) outcomes(name string) []string {
	b.Helper()
	runs, err := b.svc.ScheduleRuns(b.Context(), b.us, name)
	b.must(err)
	var all []string
	for _, r := range slices.Backward(runs) {
		all = append(all, r.Time.Format("01-02T15:04")+" "+r.Outcome)
	}
	return all
}

func (b *timed) wantOutcomes(name string, want ...string) {
	b.Helper()
	if got := b.outcomes(name); !slices.Equal(got, want) {
		b.Fatalf("runs %v, want %v", got, want)
	}
}

// end takes the job that is next and completes it.
func (b *timed) end() string {
	b.Helper()
	leases, err := b.store.Claim(b.Context(), "n", time.Hour, 1)
	b.must(err)
	if len(leases) != 1 {
		b.Fatal("no job to claim")
	}
	_, err = b.store.Apply(b.Context(), leases[0], job.CompleteWith("n", job.Outcome{}))
	b.must(err)
	return leases[0].Job.ID
}

func (b *timed) jobs() []job.Job {
	b.Helper()
	page, err := b.svc.Query(b.Context(), b.us, service.Query{})
	b.must(err)
	slices.Reverse(page.Jobs)
	return page.Jobs
}

func TestScheduleRunsAtItsTime(t *testing.T) {
	inTime(t, "2026-03-28T02:29:00+01:00", func(b *timed) {
		defer b.begin(1)()
		s := b.create(nightly())
		if len(s.NextRuns) != 5 || s.NextRuns[1].Format(time.RFC3339) != "2026-03-29T01:00:00Z" || s.Spec.CatchUp != schedule.Last {
			b.Fatalf("%+v", s)
		}
		b.pass(59 * time.Second)
		if n := b.total(); n != 0 {
			b.Fatalf("%d jobs before their time", n)
		}
		b.pass(2 * time.Second)
		jobs := b.jobs()
		if len(jobs) != 1 || jobs[0].Spec.Labels[schedule.LabelSchedule] != "nightly" || jobs[0].Spec.Labels[schedule.LabelRun] != "2026-03-28T01:30:00Z" {
			b.Fatalf("%+v", jobs)
		}
		s = b.schedule(s.ID)
		if s.LastRun == nil || s.LastRun.Format(time.RFC3339) != "2026-03-28T01:30:00Z" || !slices.Equal(s.LastJobs, []string{jobs[0].ID}) || s.LastError != nil {
			b.Errorf("%+v", s)
		}
		events, err := b.store.Reader(b.scope()).Events(b.Context(), jobs[0].ID, 0, 10)
		b.must(err)
		if events[0].Actor != "schedule:nightly" {
			b.Errorf("submitted by %s", events[0].Actor)
		}
		b.end()
		b.until("2026-03-29T02:59:55+02:00")
		b.until("2026-03-29T03:29:55+02:00")
		b.wantOutcomes("nightly", "03-28T01:30 submitted", "03-29T01:00 submitted")
	})
}

func (b *timed) scope() tenant.Scope {
	b.Helper()
	s, err := b.us.Scope(tenant.JobRead)
	b.must(err)
	return s
}

// Whatever the number of schedulers, a run is one job.
func TestScheduleRunsExactlyOnce(t *testing.T) {
	inTime(t, "2026-03-01T00:00:30Z", func(b *timed) {
		defer b.begin(4)()
		const schedules, minutes = 8, 4
		for i := range schedules {
			b.create(nightly(func(d *schedule.Definition) {
				d.Name, d.Cron, d.Overlap = fmt.Sprintf("s%02d", i), "* * * * *", schedule.Replace
			}))
		}
		b.pass(minutes * time.Minute)
		count := map[string]int{}
		for _, j := range b.jobs() {
			count[j.Spec.Labels[schedule.LabelSchedule]+j.Spec.Labels[schedule.LabelRun]]++
		}
		page, err := b.svc.Query(b.Context(), b.us, service.Query{Limit: 1000})
		b.must(err)
		if page.Total != schedules*minutes || len(b.ran) != schedules*minutes {
			b.Errorf("%d jobs and %d runs, want %d", page.Total, len(b.ran), schedules*minutes)
		}
		for run, n := range count {
			if n != 1 {
				b.Errorf("%s: %d jobs", run, n)
			}
		}
	})
}

func TestOverlap(t *testing.T) {
	hourly := func(o schedule.Overlap) schedule.Definition {
		return nightly(func(d *schedule.Definition) { d.Cron, d.TimeZone, d.Overlap = "0 * * * *", "UTC", o })
	}
	t.Run("skip", func(t *testing.T) {
		inTime(t, "2026-03-01T00:59:59Z", func(b *timed) {
			defer b.begin(1)()
			b.create(hourly(schedule.Skip))
			b.until("2026-03-01T01:00:00Z")
			b.until("2026-03-01T02:00:00Z")
			b.end()
			b.until("2026-03-01T03:00:00Z")
			b.wantOutcomes("nightly", "03-01T01:00 submitted", "03-01T02:00 skipped", "03-01T03:00 submitted")
		})
	})
	t.Run("queue", func(t *testing.T) {
		inTime(t, "2026-03-01T00:59:59Z", func(b *timed) {
			defer b.begin(1)()
			b.create(hourly(schedule.Queue))
			for _, hour := range []string{"01", "02", "03"} {
				b.until("2026-03-01T" + hour + ":00:00Z")
			}
			b.wantOutcomes("nightly", "03-01T01:00 submitted", "03-01T02:00 queued", "03-01T03:00 queued")
			b.end()
			b.pass(10 * time.Second)
			b.wantOutcomes("nightly", "03-01T01:00 submitted", "03-01T02:00 submitted", "03-01T03:00 queued")
			if s := b.schedule("nightly"); s.Queued != 1 {
				b.Errorf("%d queued", s.Queued)
			}
			_, err := b.svc.PauseSchedule(b.Context(), b.us, "nightly")
			b.must(err)
			b.end()
			b.pass(10 * time.Second)
			if n := b.total(); n != 2 {
				b.Errorf("a paused schedule goes on: %d jobs", n)
			}
			_, err = b.svc.ResumeSchedule(b.Context(), b.us, "nightly")
			b.must(err)
			b.pass(10 * time.Second)
			if j := b.jobs(); len(j) != 3 || j[2].Spec.Labels[schedule.LabelRun] != "2026-03-01T03:00:00Z" {
				b.Errorf("%+v", j)
			}
			if s := b.schedule("nightly"); s.Queued != 0 {
				b.Errorf("%d queued", s.Queued)
			}
		})
	})
	t.Run("replace", func(t *testing.T) {
		inTime(t, "2026-03-01T00:59:59Z", func(b *timed) {
			defer b.begin(1)()
			b.create(hourly(schedule.Replace))
			b.until("2026-03-01T01:00:00Z")
			b.until("2026-03-01T02:00:00Z")
			b.wantOutcomes("nightly", "03-01T01:00 submitted", "03-01T02:00 submitted")
			jobs := b.jobs()
			if len(jobs) != 2 || jobs[0].State != job.Cancelled || !strings.HasPrefix(jobs[0].CancelReason, "replaced by the run of 2026-03-01T02:00:00Z") || jobs[1].State != job.Pending {
				b.Errorf("%+v", jobs)
			}
		})
	})
}

func TestCatchUpAfterDowntime(t *testing.T) {
	for name, c := range map[string]struct {
		edit func(d *schedule.Definition)
		want []string
	}{
		"none": {func(d *schedule.Definition) { d.CatchUp = schedule.None }, []string{"03-03T01:30 missed"}},
		"last": {func(*schedule.Definition) {}, []string{"03-02T01:30 missed", "03-03T01:30 submitted"}},
		"all": {
			func(d *schedule.Definition) {
				d.CatchUp, d.CatchUpLimit, d.Overlap = schedule.All, 2, schedule.Queue
			},
			[]string{"03-01T01:30 missed", "03-02T01:30 submitted", "03-03T01:30 queued"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, "2026-03-01T00:00:00+01:00", func(b *timed) {
				b.create(nightly(c.edit))
				b.down(3 * 24 * time.Hour)
				defer b.begin(2)()
				b.wantOutcomes("nightly", c.want...)
			})
		})
	}
}

// A schedule whose jobs are refused shows why, and goes on.
func TestScheduleRefused(t *testing.T) {
	inTime(t, "2026-03-01T00:00:00+01:00", func(b *timed) {
		defer b.begin(1)()
		b.create(nightly())
		b.setRefuse(fault.New(fault.Exhausted, "HX-TEST-002", "the quota is used up", "wait"))
		b.until("2026-03-01T02:29:55+01:00")
		s := b.schedule("nightly")
		if s.LastError == nil || s.LastError.Code != "HX-TEST-002" || s.LastRun != nil {
			b.Fatalf("%+v", s)
		}
		b.setRefuse(nil)
		b.until("2026-03-02T02:29:55+01:00")
		b.wantOutcomes("nightly", "03-01T01:30 refused", "03-02T01:30 submitted")
		if s := b.schedule("nightly"); s.LastError != nil {
			b.Errorf("%+v", s.LastError)
		}
	})
}

// A run whose jobs do not fit the tenant's quota is refused whole, and its webhook
// URLs are shown to nobody.
func TestScheduleAndQuota(t *testing.T) {
	inTime(t, "2026-03-01T00:00:00+01:00", func(b *timed) {
		defer b.begin(1)()
		most := int64(1)
		_, err := b.svc.ChangeTenant(b.Context(), b.us, "ours", service.TenantChange{MaxQueuedJobs: &most})
		b.must(err)
		hook := job.Step{ID: "tell", Type: "webhook", URL: "https://hooks.slack.com/services/secret"}
		b.create(nightly(func(d *schedule.Definition) {
			d.Jobs = append(d.Jobs, job.Spec{Name: "flow", Jobs: []job.Step{hook}})
		}))
		b.until("2026-03-01T02:29:55+01:00")
		s := b.schedule("nightly")
		if s.LastError == nil || s.LastError.Code != "HX-QUOTA-001" || len(b.jobs()) != 0 {
			b.Fatalf("%+v, %d jobs", s.LastError, len(b.jobs()))
		}
		if url := s.Spec.Jobs[1].Jobs[0].URL; strings.Contains(url, "secret") {
			b.Errorf("the URL is shown: %s", url)
		}
		most = 2
		_, err = b.svc.ChangeTenant(b.Context(), b.us, "ours", service.TenantChange{MaxQueuedJobs: &most})
		b.must(err)
		b.until("2026-03-02T02:29:55+01:00")
		b.wantOutcomes("nightly", "03-01T01:30 refused", "03-02T01:30 submitted")
	})
}

// A store or validator that is down for a while loses no run.
func TestScheduleOutlivesAnOutage(t *testing.T) {
	inTime(t, "2026-03-01T02:29:50+01:00", func(b *timed) {
		defer b.begin(1)()
		b.create(nightly())
		b.setRefuse(fault.New(fault.Unavailable, "HX-TEST-003", "down", "wait"))
		b.pass(30 * time.Second)
		b.wantOutcomes("nightly")
		b.setRefuse(nil)
		b.pass(10 * time.Second)
		b.wantOutcomes("nightly", "03-01T01:30 submitted")
	})
}

func TestRunByHand(t *testing.T) {
	inTime(t, "2026-03-01T00:00:00+01:00", func(b *timed) {
		defer b.begin(1)()
		b.create(nightly(func(d *schedule.Definition) { d.Paused = true }))
		r, err := b.svc.RunSchedule(b.Context(), b.us, "nightly")
		b.must(err)
		if r.Outcome != schedule.Submitted || !r.Manual || len(r.JobIDs) != 1 {
			b.Fatalf("%+v", r)
		}
		b.pass(time.Second)
		_, err = b.svc.RunSchedule(b.Context(), b.us, "nightly")
		b.wantKind(err, fault.Conflict)
		if s := b.schedule("nightly"); len(s.NextRuns) != 0 || s.LastRun == nil {
			b.Errorf("%+v", s)
		}
		if n := b.total(); n != 1 {
			b.Errorf("%d jobs", n)
		}
	})
}

func TestScheduleLife(t *testing.T) {
	inTime(t, "2026-03-01T00:00:00+01:00", func(b *timed) {
		defer b.begin(1)()
		s := b.create(nightly())
		_, err := b.svc.CreateSchedule(b.Context(), b.us, nightly())
		b.wantKind(err, fault.Conflict)
		_, err = b.svc.CreateSchedule(b.Context(), b.others, nightly())
		b.must(err)
		_, err = b.svc.Schedule(b.Context(), b.others, s.ID)
		b.wantKind(err, fault.NotFound)
		b.wantKind(b.svc.DeleteSchedule(b.Context(), b.others, s.ID), fault.NotFound)

		_, err = b.svc.SetSchedule(b.Context(), b.us, "nightly", nightly(func(d *schedule.Definition) { d.Name, d.Cron = "early", "0 1 * * *" }))
		b.must(err)
		b.until("2026-03-01T01:00:00+01:00")
		b.wantOutcomes("early", "03-01T00:00 submitted")
		_, err = b.svc.PauseSchedule(b.Context(), b.us, "early")
		b.must(err)
		b.until("2026-03-03T01:00:00+01:00")
		_, err = b.svc.ResumeSchedule(b.Context(), b.us, "early")
		b.must(err)
		b.wantOutcomes("early", "03-01T00:00 submitted")
		b.must(b.svc.DeleteSchedule(b.Context(), b.us, "early"))
		b.wantKind(b.svc.DeleteSchedule(b.Context(), b.us, "early"), fault.NotFound)
		b.until("2026-03-05T01:00:00+01:00")
		if n := b.total(); n != 1 {
			b.Errorf("%d jobs", n)
		}
	})
}

func TestScheduleJobsAreJudged(t *testing.T) {
	on(t, func(b *bench) {
		for name, j := range map[string]job.Spec{
			"format":   {VMPath: "/x", Format: "floppy"},
			"the root": {VMPath: "/x", OutputPath: "../../etc"},
			"no VM":    {},
		} {
			_, err := b.svc.CreateSchedule(b.Context(), b.us, nightly(func(d *schedule.Definition) { d.Jobs = append(d.Jobs, j) }))
			b.wantKind(err, fault.Unprocessable)
			if !strings.Contains(err.Error(), "jobs[1]") {
				b.Errorf("%s: %v", name, err)
			}
		}
		page, err := b.svc.Schedules(b.Context(), b.us, 0, "")
		b.must(err)
		if len(page.Items) != 0 {
			b.Errorf("%+v", page.Items)
		}
	})
}

// Whoever may not submit may not say what is submitted.
func TestSchedulePermissions(t *testing.T) {
	on(t, func(b *bench) {
		_, err := b.svc.CreateSchedule(b.Context(), b.us, nightly())
		b.must(err)
		writer := tenant.NewPrincipal("ours", "w", tenant.ScheduleRead, tenant.ScheduleWrite)
		reader := tenant.NewPrincipal("ours", "r", tenant.ScheduleRead, tenant.JobSubmit)
		for _, p := range []tenant.Principal{writer, reader} {
			_, err1 := b.svc.CreateSchedule(b.Context(), p, nightly())
			_, err2 := b.svc.SetSchedule(b.Context(), p, "nightly", nightly())
			_, err3 := b.svc.RunSchedule(b.Context(), p, "nightly")
			for _, err := range []error{err1, err2, err3} {
				b.wantKind(err, fault.Denied)
			}
			_, err := b.svc.Schedule(b.Context(), p, "nightly")
			b.must(err)
		}
		_, err = b.svc.PauseSchedule(b.Context(), writer, "nightly")
		b.must(err)
		_, err = b.svc.PauseSchedule(b.Context(), reader, "nightly")
		b.wantKind(err, fault.Denied)
		_, err = b.svc.Schedules(b.Context(), tenant.NewPrincipal("ours", "j", tenant.JobRead), 0, "")
		b.wantKind(err, fault.Denied)
	})
}

func TestSchedulePages(t *testing.T) {
	on(t, func(b *bench) {
		for i := range 7 {
			_, err := b.svc.CreateSchedule(b.Context(), b.us, nightly(func(d *schedule.Definition) { d.Name = fmt.Sprintf("s%d", i) }))
			b.must(err)
		}
		var names []string
		for cursor := ""; ; {
			page, err := b.svc.Schedules(b.Context(), b.us, 3, cursor)
			b.must(err)
			for _, s := range page.Items {
				names = append(names, s.Spec.Name)
			}
			if cursor = page.NextCursor; cursor == "" {
				break
			}
		}
		if !slices.Equal(names, []string{"s0", "s1", "s2", "s3", "s4", "s5", "s6"}) {
			b.Errorf("%v", names)
		}
		_, err1 := b.svc.Schedules(b.Context(), b.us, 101, "")
		_, err2 := b.svc.Schedules(b.Context(), b.us, 1, "!")
		b.wantKind(errors.Join(err1), fault.Invalid)
		b.wantKind(err2, fault.Invalid)
	})
}

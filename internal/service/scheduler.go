package service

import (
	"context"
	"log/slog"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// How often the scheduler looks without being woken: other nodes change
// schedules, and jobs end that a queued run waits for.
const (
	lookEvery = 5 * time.Second
	lookAgain = 200 * time.Millisecond // if something is still due: an error of a schedule, or many of them
	dueBatch  = 100
)

// maxQueuedRuns bounds the runs of one schedule that wait; further ones are
// skipped.
const maxQueuedRuns = 100

// Scheduler makes the runs of the schedules of all tenants. Any number of them
// may work on one store: each run happens once.
type Scheduler struct {
	s   *Service
	due DueSchedules
	log *slog.Logger
}

// NewScheduler makes a Scheduler.
func NewScheduler(s *Service, due DueSchedules, log *slog.Logger) *Scheduler {
	return &Scheduler{s: s, due: due, log: log}
}

// Run makes runs when they come due, until ctx is done; then it returns nil.
func (x *Scheduler) Run(ctx context.Context) error {
	wake, stop := x.s.deps.Feed.Watch(event.Schedules)
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
		timer.Reset(x.look(ctx))
	}
}

// look makes the runs that are due and returns how long to wait.
func (x *Scheduler) look(ctx context.Context) time.Duration {
	found, err := x.due.Due(ctx, x.s.now(), dueBatch)
	if err != nil {
		x.report(ctx, "", err)
		return lookEvery
	}
	for _, sch := range found {
		if ctx.Err() != nil {
			return lookEvery
		}
		x.report(ctx, sch.ID, x.serve(ctx, sch))
	}
	next, err := x.due.NextDue(ctx)
	x.report(ctx, "", err)
	switch wait := next.Sub(x.s.now()); {
	case err != nil, next.IsZero():
		return lookEvery
	case wait <= 0:
		return lookAgain
	default:
		return min(lookEvery, wait)
	}
}

// report logs an error; the next look tries again. A conflict means that another
// node was faster.
func (x *Scheduler) report(ctx context.Context, id string, err error) {
	if err != nil && ctx.Err() == nil && !fault.Is(err, fault.Conflict) {
		x.log.ErrorContext(ctx, "cannot run a schedule", "schedule", id, "error", fault.Detail(err))
	}
}

// serve makes all runs of one schedule that are due, in order.
func (x *Scheduler) serve(ctx context.Context, sch schedule.Schedule) error {
	scope, err := tenant.NewPrincipal(tenant.ID(sch.Tenant), "schedule:"+sch.Spec.Name, tenant.JobSubmit).Scope(tenant.JobSubmit)
	if err != nil {
		return err
	}
	m := &maker{s: x.s, ctx: ctx, scope: scope, sch: sch}
	if sch.Queued > 0 {
		if err := m.release(); err != nil {
			return err
		}
	}
	if m.sch.Due == nil || m.sch.Due.After(x.s.now()) {
		return nil
	}
	c, err := schedule.ParseCron(m.sch.Spec.Cron, m.sch.Spec.TimeZone)
	if err != nil {
		return fault.Wrap(err, fault.Internal, "HX-SCHED-006", "the stored schedule "+sch.ID+" cannot be read: "+err.Error(), "delete it")
	}
	d := m.sch.Spec.Decide(m.sch.ID, c, *m.sch.Next, x.s.now())
	if d.Missed > 0 {
		next := d.Next
		if len(d.Runs) > 0 {
			next = d.Runs[0]
		}
		if err := m.miss(d, next); err != nil {
			return err
		}
	}
	for i, run := range d.Runs {
		next := d.Next
		if i+1 < len(d.Runs) {
			next = d.Runs[i+1]
		}
		if err := m.make(schedule.Run{Time: run}, &next); err != nil {
			return err
		}
	}
	return nil
}

// RunSchedule makes a run now, whether the schedule is paused or not. The overlap
// policy holds: with skip, kind Conflict if jobs of an earlier run have not ended.
func (s *Service) RunSchedule(ctx context.Context, p tenant.Principal, ref string) (schedule.Run, error) {
	scope, err := s.scheduling(p)
	if err != nil {
		return schedule.Run{}, err
	}
	m := &maker{s: s, ctx: ctx}
	_, err = once(ctx, s.repeats, p, request{operation: "run_schedule", of: ref}, &m.run, func(o *tenant.Once) (err error) {
		m.scope = scope.Under(o)
		if m.sch, err = s.store.Reader(scope).Schedule(ctx, ref); err != nil {
			return err
		}
		return m.make(schedule.Run{Time: s.now(), Manual: true}, nil)
	})
	if err != nil {
		return schedule.Run{}, err
	}
	return m.run, nil
}

// maker makes the runs of one schedule, each in one transaction with the jobs
// that it submits. The revision of the schedule is its fence.
type maker struct {
	s     *Service
	ctx   context.Context //nolint:containedctx // of one call
	scope tenant.Scope
	sch   schedule.Schedule
	run   schedule.Run // the last one that was made
	jobs  []job.Job    // that it submitted
	ended []job.Job    // that it cancelled before they began
}

// make makes one run. next is the run that follows, nil to leave that as it is.
// Jobs that are refused are a run, too: the schedule keeps the error and goes on.
func (m *maker) make(run schedule.Run, next *time.Time) error {
	err := m.attempt(run, next)
	if err == nil || !isRefusal(err) || run.Manual {
		return err
	}
	return m.update(func(tx Tx) error {
		m.decide(&run, schedule.Refused)
		run.Error = job.FailureOf(err)
		m.sch.LastError = run.Error
		m.advance(next)
		return m.finish(tx, run)
	})
}

// isRefusal tells whether an error is the answer to the jobs and will be the
// same at the next look.
func isRefusal(err error) bool {
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Timeout, fault.Cancelled, fault.Conflict, fault.NotFound:
		return false
	}
	return true
}

func (m *maker) attempt(run schedule.Run, next *time.Time) error {
	jobs, err := m.prepare(run.Time)
	if err != nil {
		return err
	}
	return m.update(func(tx Tx) error {
		active, err := tx.ActiveJobs(m.sch.ID)
		if err != nil {
			return err
		}
		outcome := m.overlap(len(active) > 0 || m.sch.Queued > 0)
		if run.Manual && outcome == schedule.Skipped {
			return fault.New(fault.Conflict, "HX-SCHED-005", "jobs of an earlier run have not ended, and the schedule skips a run then",
				"wait for them, cancel them, or set overlap to queue or replace")
		}
		m.decide(&run, outcome)
		switch outcome {
		case schedule.Queued:
			m.sch.Queued++
		case schedule.Submitted:
			if err := m.cancel(tx, active, run.Time); err != nil {
				return err
			}
			if err := m.submit(tx, &run, jobs); err != nil {
				return err
			}
		}
		m.advance(next)
		return m.finish(tx, run)
	})
}

// overlap returns the outcome of a run while jobs of an earlier one are active.
func (m *maker) overlap(active bool) string {
	switch {
	case !active || m.sch.Spec.Overlap == schedule.Replace:
		return schedule.Submitted
	case m.sch.Spec.Overlap == schedule.Queue && m.sch.Queued < maxQueuedRuns:
		return schedule.Queued
	}
	return schedule.Skipped
}

// release submits the oldest queued run if nothing is active any more.
func (m *maker) release() error {
	run, found, err := m.s.store.Reader(m.scope).QueuedRun(m.ctx, m.sch.ID)
	if err != nil || !found {
		return err
	}
	jobs, refused := m.prepare(run.Time)
	if refused != nil && !isRefusal(refused) {
		return refused
	}
	try := func(refused error) error {
		return m.update(func(tx Tx) error {
			active, err := tx.ActiveJobs(m.sch.ID)
			if err != nil || len(active) > 0 {
				return err
			}
			m.sch.Queued--
			if refused != nil {
				m.decide(&run, schedule.Refused)
				run.Error = job.FailureOf(refused)
				m.sch.LastError = run.Error
			} else {
				m.decide(&run, schedule.Submitted)
				if err := m.submit(tx, &run, jobs); err != nil {
					return err
				}
			}
			if err := tx.SettleRun(run); err != nil {
				return err
			}
			m.run = run
			return tx.SaveSchedule(&m.sch, "")
		})
	}
	err = try(refused)
	if err != nil && refused == nil && isRefusal(err) {
		err = try(err)
	}
	return err
}

// miss records the runs that the catch-up policy leaves out.
func (m *maker) miss(d schedule.Decision, next time.Time) error {
	return m.update(func(tx Tx) error {
		run := schedule.Run{Time: d.Last, Missed: d.Missed}
		m.decide(&run, schedule.Missed)
		m.advance(&next)
		return m.finish(tx, run)
	})
}

// prepare judges the jobs of a run and gives them ids.
func (m *maker) prepare(run time.Time) ([]job.Job, error) {
	return m.s.prepareAll(m.ctx, m.scope, m.sch.Spec.Specs(run))
}

// update runs fn in one transaction on the schedule as it was read; kind Conflict
// if it has changed since. After an error the schedule is as before.
func (m *maker) update(fn func(tx Tx) error) error {
	before := m.sch
	m.run, m.jobs, m.ended = schedule.Run{}, nil, nil
	err := m.s.store.Update(m.ctx, m.scope, func(tx Tx) error {
		m.sch, m.jobs, m.ended = before, nil, nil
		current, err := tx.Schedule(before.ID)
		if err != nil {
			return err
		}
		if current.Revision != before.Revision {
			return fault.New(fault.Conflict, "HX-SCHED-007", "the schedule was changed at the same moment", "look at it and try again")
		}
		return fn(tx)
	})
	if err != nil {
		m.sch = before
		return err
	}
	m.observe()
	return nil
}

// observe tells the hooks after the commit.
func (m *maker) observe() {
	h := m.s.deps.Hooks
	m.s.observeSubmitted(m.jobs)
	if h.Cancelled != nil {
		for i := range m.ended {
			h.Cancelled(m.ended[i])
		}
	}
	if h.ScheduleRan != nil && m.run.Outcome != "" {
		h.ScheduleRan(m.run)
	}
}

func (m *maker) decide(run *schedule.Run, outcome string) {
	run.ScheduleID, run.Outcome, run.At = m.sch.ID, outcome, m.s.now()
}

func (m *maker) advance(next *time.Time) {
	if next != nil {
		planAt(&m.sch, *next)
	}
}

// finish stores the run and the schedule after it.
func (m *maker) finish(tx Tx, run schedule.Run) error {
	first, err := tx.InsertRun(run)
	if err != nil {
		return err
	}
	if !first {
		return fault.New(fault.Conflict, "HX-SCHED-007", "another run of the schedule has the same time", "try again")
	}
	m.run = run
	return tx.SaveSchedule(&m.sch, "")
}

// cancel ends the jobs that a run replaces.
func (m *maker) cancel(tx Tx, ids []string, run time.Time) error {
	for _, id := range ids {
		j, changed, err := tx.Cancel(id, "replaced by the run of "+run.Format(time.RFC3339)+" of its schedule")
		if err != nil {
			return err
		}
		if changed && j.State == job.Cancelled {
			m.ended = append(m.ended, j)
		}
	}
	return nil
}

// submit stores the jobs of a run, all or none: what the tenant's quotas do not
// let in is a refusal of the run.
func (m *maker) submit(tx Tx, run *schedule.Run, jobs []job.Job) error {
	r := SubmitResult{Jobs: jobs}
	if err := r.admit(tx); err != nil {
		return err
	}
	if len(r.Refused) > 0 {
		e := r.Refused[0].Error
		return fault.Newf(fault.Exhausted, e.Code, e.Fix, "jobs[%d]: %s", r.Refused[0].Index, e.Message)
	}
	for i := range jobs {
		if err := tx.Insert(&jobs[i]); err != nil {
			return err
		}
	}
	m.jobs, run.JobIDs = jobs, jobIDs(jobs)
	at := run.Time
	m.sch.LastRun, m.sch.LastJobs, m.sch.LastError = &at, run.JobIDs, nil
	return tx.TrackJobs(m.sch.ID, run.JobIDs)
}

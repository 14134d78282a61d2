package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// nextRuns is how many runs ahead a schedule shows.
const nextRuns = 5

// Limits of schedules.
const (
	MaxSchedules     = 1000      // of one tenant
	MaxScheduleSpec  = 256 << 10 // bytes of one definition, as JSON
	MaxSchedulePage  = 100
	maxScheduledRuns = 100 // that are kept of each schedule, and that Runs returns
)

// SchedulePage is one page of schedules, by name.
type SchedulePage struct {
	Items      []schedule.Schedule
	NextCursor string // empty: the last page
}

// CreateSchedule stores a schedule. Its jobs are judged as in a submit. Kinds:
// Unprocessable, Conflict (the name is taken), Exhausted.
func (s *Service) CreateSchedule(ctx context.Context, p tenant.Principal, d schedule.Definition) (schedule.Schedule, error) {
	scope, err := s.scheduling(p)
	if err != nil {
		return schedule.Schedule{}, err
	}
	d = d.WithDefaults()
	if err := s.checkSchedule(ctx, scope, d); err != nil {
		return schedule.Schedule{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return schedule.Schedule{}, fmt.Errorf("make an id: %w", err)
	}
	now := s.now()
	sch := schedule.Schedule{ID: id.String(), Tenant: string(scope.Tenant()), Spec: s.sealSchedule(scope, d), CreatedAt: now, UpdatedAt: now}
	if err := plan(&sch, now); err != nil {
		return schedule.Schedule{}, err
	}
	shown := s.shown(sch)
	_, err = update(ctx, s, p, scope, request{operation: "create_schedule", of: d}, &shown, func(tx Tx) error {
		err := tx.InsertSchedule(&sch)
		shown = s.shown(sch)
		return err
	})
	return shown, err
}

// SetSchedule replaces the definition of a schedule. Runs that were missed or are
// due are not made up for: the next one is the first after now.
func (s *Service) SetSchedule(ctx context.Context, p tenant.Principal, ref string, d schedule.Definition) (schedule.Schedule, error) {
	scope, err := s.scheduling(p)
	if err != nil {
		return schedule.Schedule{}, err
	}
	d = d.WithDefaults()
	if err := s.checkSchedule(ctx, scope, d); err != nil {
		return schedule.Schedule{}, err
	}
	q := request{operation: "set_schedule", of: []any{ref, d}}
	return s.changeSchedule(ctx, p, scope, ref, q, ScheduleChanged, func(sch *schedule.Schedule) {
		sch.Spec, sch.LastError = s.sealSchedule(scope, d), nil
	})
}

// PauseSchedule stops the runs of a schedule. It is idempotent.
func (s *Service) PauseSchedule(ctx context.Context, p tenant.Principal, ref string) (schedule.Schedule, error) {
	scope, err := p.Scope(tenant.ScheduleWrite)
	if err != nil {
		return schedule.Schedule{}, err
	}
	return s.changeSchedule(ctx, p, scope, ref, request{operation: "pause_schedule", of: ref}, SchedulePaused, func(sch *schedule.Schedule) { sch.Spec.Paused = true })
}

// ResumeSchedule goes on with the first run after now. It is idempotent.
func (s *Service) ResumeSchedule(ctx context.Context, p tenant.Principal, ref string) (schedule.Schedule, error) {
	scope, err := p.Scope(tenant.ScheduleWrite)
	if err != nil {
		return schedule.Schedule{}, err
	}
	return s.changeSchedule(ctx, p, scope, ref, request{operation: "resume_schedule", of: ref}, ScheduleResumed, func(sch *schedule.Schedule) { sch.Spec.Paused = false })
}

// DeleteSchedule forgets a schedule. Jobs that it submitted go on. Kind NotFound.
func (s *Service) DeleteSchedule(ctx context.Context, p tenant.Principal, ref string) error {
	scope, err := p.Scope(tenant.ScheduleWrite)
	if err != nil {
		return err
	}
	_, err = update(ctx, s, p, scope, request{operation: "delete_schedule", of: ref}, &nothing{}, func(tx Tx) error {
		sch, err := tx.Schedule(ref)
		if err != nil {
			return err
		}
		return tx.DeleteSchedule(sch.ID)
	})
	return err
}

// Schedule returns one schedule by id or name.
func (s *Service) Schedule(ctx context.Context, p tenant.Principal, ref string) (schedule.Schedule, error) {
	scope, err := p.Scope(tenant.ScheduleRead)
	if err != nil {
		return schedule.Schedule{}, err
	}
	sch, err := s.store.Reader(scope).Schedule(ctx, ref)
	return s.shown(sch), err
}

// Schedules returns one page of the tenant's schedules. Kind Invalid for a limit
// or a cursor that is none.
func (s *Service) Schedules(ctx context.Context, p tenant.Principal, limit int, cursor string) (SchedulePage, error) {
	scope, err := p.Scope(tenant.ScheduleRead)
	if err != nil {
		return SchedulePage{}, err
	}
	if limit == 0 {
		limit = DefaultLimit
	}
	if limit < 1 || limit > MaxSchedulePage {
		return SchedulePage{}, fault.Newf(fault.Invalid, "HX-SCHED-002", "leave it out for the default",
			"limit must be between 1 and %d", MaxSchedulePage)
	}
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return SchedulePage{}, fault.New(fault.Invalid, "HX-SCHED-003", "the cursor is none that this API gave out", "start without a cursor")
	}
	all, err := s.store.Reader(scope).Schedules(ctx, string(after), limit+1)
	if err != nil {
		return SchedulePage{}, err
	}
	page := SchedulePage{Items: all}
	if len(all) > limit {
		page.Items = all[:limit]
		page.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(all[limit-1].Spec.Name))
	}
	for i := range page.Items {
		page.Items[i] = s.shown(page.Items[i])
	}
	return page, nil
}

// ScheduleRuns returns the last runs of a schedule, the latest first.
func (s *Service) ScheduleRuns(ctx context.Context, p tenant.Principal, ref string) ([]schedule.Run, error) {
	scope, err := p.Scope(tenant.ScheduleRead)
	if err != nil {
		return nil, err
	}
	reader := s.store.Reader(scope)
	sch, err := reader.Schedule(ctx, ref)
	if err != nil {
		return nil, err
	}
	return reader.Runs(ctx, sch.ID, maxScheduledRuns)
}

// scheduling is the right to say what a schedule submits: it takes the right to
// submit, too.
func (s *Service) scheduling(p tenant.Principal) (tenant.Scope, error) {
	if _, err := p.Scope(tenant.JobSubmit); err != nil {
		return tenant.Scope{}, err
	}
	return p.Scope(tenant.ScheduleWrite)
}

func (s *Service) sealSchedule(scope tenant.Scope, d schedule.Definition) schedule.Definition {
	d.Jobs = slices.Clone(d.Jobs)
	for i := range d.Jobs {
		d.Jobs[i] = s.sealURLs(scope, d.Jobs[i])
	}
	return d
}

// checkSchedule judges a definition and its jobs.
func (s *Service) checkSchedule(ctx context.Context, scope tenant.Scope, d schedule.Definition) error {
	now := s.now()
	if err := d.Validate(now); err != nil {
		return err
	}
	if text, err := json.Marshal(d); err != nil || len(text) > MaxScheduleSpec {
		return fault.Newf(fault.Unprocessable, "HX-SCHED-004", "split it", "the schedule is longer than %d bytes", MaxScheduleSpec)
	}
	_, err := s.prepareAll(ctx, scope, d.Specs(now))
	return err
}

// prepareAll makes jobs of all specs, or none: then the error names the first
// that is refused.
func (s *Service) prepareAll(ctx context.Context, scope tenant.Scope, specs []job.Spec) ([]job.Job, error) {
	r, err := s.prepare(ctx, scope, specs)
	if len(r.Refused) == 0 {
		return r.Jobs, err
	}
	first := r.Refused[0]
	return nil, fault.Newf(fault.Unprocessable, first.Error.Code, first.Error.Fix, "jobs[%d]: %s", first.Index, first.Error.Message)
}

// changeSchedule edits a schedule and plans its next run anew.
func (s *Service) changeSchedule(ctx context.Context, p tenant.Principal, scope tenant.Scope, ref string, q request,
	why ScheduleChange, edit func(*schedule.Schedule),
) (shown schedule.Schedule, err error) {
	_, err = update(ctx, s, p, scope, q, &shown, func(tx Tx) error {
		sch, err := tx.Schedule(ref)
		if err != nil {
			return err
		}
		defer func() { shown = s.shown(sch) }()
		paused := sch.Spec.Paused
		edit(&sch)
		if why != ScheduleChanged && paused == sch.Spec.Paused {
			return nil
		}
		sch.UpdatedAt = s.now()
		if err := plan(&sch, sch.UpdatedAt); err != nil {
			return err
		}
		return tx.SaveSchedule(&sch, why)
	})
	return shown, err
}

// plan sets the first run after t.
func plan(sch *schedule.Schedule, t time.Time) error {
	if sch.Spec.Paused {
		sch.Next, sch.Due = nil, nil
		return nil
	}
	c, err := schedule.ParseCron(sch.Spec.Cron, sch.Spec.TimeZone)
	if err != nil {
		return fault.Wrap(err, fault.Unprocessable, "HX-SCHED-001", err.Error(), "correct the schedule and send it again")
	}
	planAt(sch, c.Next(t))
	return nil
}

// planAt sets the next run; the zero time stands for none.
func planAt(sch *schedule.Schedule, next time.Time) {
	sch.Next, sch.Due = nil, nil
	if !next.IsZero() {
		due := sch.Spec.Due(sch.ID, next)
		sch.Next, sch.Due = &next, &due
	}
}

// shown is the schedule as it may be shown, with what is worked out for the reader.
func (s *Service) shown(sch schedule.Schedule) schedule.Schedule {
	sch.Spec.Jobs = slices.Clone(sch.Spec.Jobs)
	for i := range sch.Spec.Jobs {
		sch.Spec.Jobs[i] = sch.Spec.Jobs[i].Shown()
	}
	sch.NextRuns = []time.Time{}
	if sch.Next == nil {
		return sch
	}
	sch.NextRuns = append(sch.NextRuns, *sch.Next)
	if c, err := schedule.ParseCron(sch.Spec.Cron, sch.Spec.TimeZone); err == nil {
		sch.NextRuns = append(sch.NextRuns, c.Upcoming(*sch.Next, nextRuns-1)...)
	}
	return sch
}

// now is the time as the store keeps it.
func (s *Service) now() time.Time { return s.deps.Now().UTC().Truncate(time.Microsecond) }

// jobIDs lists the ids of jobs.
func jobIDs(jobs []job.Job) []string {
	ids := make([]string, len(jobs))
	for i := range jobs {
		ids[i] = jobs[i].ID
	}
	return ids
}

package service

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/schedule"
)

// ScheduleReader reads one tenant's schedules. ref is an id or a name; what is
// not there is NotFound.
type ScheduleReader interface {
	Schedule(ctx context.Context, ref string) (schedule.Schedule, error)
	// Schedules returns those whose names follow after, by name.
	Schedules(ctx context.Context, after string, limit int) ([]schedule.Schedule, error)
	// Runs returns the runs of a schedule, the latest first.
	Runs(ctx context.Context, id string, limit int) ([]schedule.Run, error)
	// QueuedRun returns the oldest run that waits.
	QueuedRun(ctx context.Context, id string) (r schedule.Run, found bool, err error)
}

// ScheduleTx changes one tenant's schedules within a transaction.
type ScheduleTx interface {
	// InsertSchedule stores a new schedule. Kinds Conflict (the name is taken),
	// Exhausted (there are too many).
	InsertSchedule(s *schedule.Schedule) error
	// Schedule returns the schedule that ref names, to change it. Kind NotFound.
	Schedule(ref string) (schedule.Schedule, error)
	// SaveSchedule stores a changed schedule and raises its revision. why names
	// the change in the event log; empty: no event. Kind Conflict: somebody else
	// changed it, or the name is taken.
	SaveSchedule(s *schedule.Schedule, why ScheduleChange) error
	// DeleteSchedule forgets a schedule and its runs; its jobs stay.
	DeleteSchedule(id string) error
	// InsertRun stores a run. first is false, and nothing happens, if the schedule
	// has one of that time.
	InsertRun(r schedule.Run) (first bool, err error)
	// SettleRun says what became of a queued run. Kind Conflict: it is none.
	SettleRun(r schedule.Run) error
	// ActiveJobs returns the jobs that TrackJobs was told of and that have not
	// ended.
	ActiveJobs(id string) ([]string, error)
	TrackJobs(id string, jobIDs []string) error
}

// ScheduleChange names what happened to a schedule.
type ScheduleChange string

// The changes. Runs are not among them: each is kept by itself.
const (
	ScheduleCreated ScheduleChange = "created"
	ScheduleChanged ScheduleChange = "changed"
	SchedulePaused  ScheduleChange = "paused"
	ScheduleResumed ScheduleChange = "resumed"
	ScheduleDeleted ScheduleChange = "deleted"
)

// DueSchedules finds what has come due, whomever it belongs to. Only the
// Scheduler has it.
type DueSchedules interface {
	// Due returns the schedules that are not paused and whose due time has come, or
	// that have queued runs; those first that wait longest.
	Due(ctx context.Context, now time.Time, limit int) ([]schedule.Schedule, error)
	// NextDue returns the earliest due time, zero for none.
	NextDue(ctx context.Context) (time.Time, error)
}

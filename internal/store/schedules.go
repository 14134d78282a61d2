package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
)

// keepRuns is how many runs of a schedule are remembered, besides those that wait.
const keepRuns = 100

// scheduleColumns are in the order of scheduleRow.all.
const scheduleColumns = `id, tenant, spec, next_run, due, queued, last_run, last_jobs, last_error, created_at, updated_at, revision`

// scheduleRow is a schedule as the table has it.
type scheduleRow struct {
	schedule.Schedule
	next, due, lastRun        sql.NullInt64
	created, updated          int64
	spec, lastJobs, lastError []byte
}

func (r *scheduleRow) all() []any {
	return []any{
		&r.ID, &r.Tenant, &r.spec, &r.next, &r.due, &r.Queued, &r.lastRun, &r.lastJobs, &r.lastError,
		&r.created, &r.updated, &r.Revision,
	}
}

// decode fills the schedule from what was scanned.
func (r *scheduleRow) decode() error {
	for _, f := range []struct {
		from []byte
		to   any
	}{{r.spec, &r.Spec}, {r.lastJobs, &r.LastJobs}, {r.lastError, &r.LastError}} {
		if f.from == nil {
			continue
		}
		if err := json.Unmarshal(f.from, f.to); err != nil {
			return fmt.Errorf("decode schedule %s: %w", r.ID, err)
		}
	}
	r.Next, r.Due, r.LastRun = fromMicros(r.next), fromMicros(r.due), fromMicros(r.lastRun)
	r.CreatedAt, r.UpdatedAt = time.UnixMicro(r.created).UTC(), time.UnixMicro(r.updated).UTC()
	return nil
}

// Schedule implements service.ScheduleTx. On PostgreSQL it holds off who else would
// change the schedule.
func (t *scopedTx) Schedule(ref string) (schedule.Schedule, error) {
	var r scheduleRow
	found, err := t.tx.row(`SELECT `+scheduleColumns+` FROM schedules WHERE tenant = $1 AND (id = $2 OR name = $2) /*! FOR UPDATE */`,
		[]any{string(t.scope.Tenant()), ref}, r.all()...)
	if err != nil {
		return schedule.Schedule{}, err
	}
	if !found {
		return schedule.Schedule{}, errNoSchedule(ref)
	}
	return r.Schedule, r.decode()
}

// InsertSchedule implements service.ScheduleTx.
func (t *scopedTx) InsertSchedule(s *schedule.Schedule) error {
	if s.Tenant != string(t.scope.Tenant()) {
		return fault.New(fault.Denied, "HX-STORE-008", "the schedule belongs to another tenant", "")
	}
	var n int
	if _, err := t.tx.row(`SELECT COUNT(*) FROM schedules WHERE tenant = $1`, []any{s.Tenant}, &n); err != nil {
		return err
	}
	if n >= service.MaxSchedules {
		return fault.Newf(fault.Exhausted, "HX-SCHED-008", "delete one that is no longer needed", "there are %d schedules already", n)
	}
	spec, err := encode(s.Spec)
	if err != nil {
		return err
	}
	s.Revision = 1
	n64, err := t.tx.exec(`INSERT INTO schedules (id, tenant, name, spec, paused, next_run, due, created_at, updated_at, revision)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (tenant, name) DO NOTHING`,
		s.ID, s.Tenant, s.Spec.Name, spec, truth(s.Spec.Paused), nullMicros(s.Next), nullMicros(s.Due),
		s.CreatedAt.UnixMicro(), s.UpdatedAt.UnixMicro(), s.Revision)
	if err != nil {
		return err
	}
	if n64 == 0 {
		return errScheduleName(s.Spec.Name)
	}
	return t.scheduleEvent(s, service.ScheduleCreated)
}

// SaveSchedule implements service.ScheduleTx.
func (t *scopedTx) SaveSchedule(s *schedule.Schedule, why service.ScheduleChange) error {
	spec, err := encode(s.Spec)
	if err != nil {
		return err
	}
	lastJobs, err := encode(s.LastJobs)
	if err != nil {
		return err
	}
	lastError, err := encodeOrNull(s.LastError)
	if err != nil {
		return err
	}
	var taken int
	found, err := t.tx.row(`SELECT 1 FROM schedules WHERE tenant = $1 AND name = $2 AND id <> $3`,
		[]any{s.Tenant, s.Spec.Name, s.ID}, &taken)
	if err != nil {
		return err
	}
	if found {
		return errScheduleName(s.Spec.Name)
	}
	n, err := t.tx.exec(`UPDATE schedules SET name = $1, spec = $2, paused = $3, next_run = $4, due = $5, queued = $6,
		last_run = $7, last_jobs = $8, last_error = $9, updated_at = $10, revision = revision + 1
		WHERE id = $11 AND tenant = $12 AND revision = $13`,
		s.Spec.Name, spec, truth(s.Spec.Paused), nullMicros(s.Next), nullMicros(s.Due), s.Queued,
		nullMicros(s.LastRun), lastJobs, lastError, s.UpdatedAt.UnixMicro(), s.ID, string(t.scope.Tenant()), s.Revision)
	if err != nil {
		return err
	}
	if n != 1 {
		return fault.New(fault.Conflict, "HX-SCHED-007", "the schedule was changed at the same moment", "look at it and try again")
	}
	s.Revision++
	if why == "" {
		return nil
	}
	return t.scheduleEvent(s, why)
}

// DeleteSchedule implements service.ScheduleTx.
func (t *scopedTx) DeleteSchedule(id string) error {
	s, err := t.Schedule(id)
	if err != nil {
		return err
	}
	for _, query := range []string{
		`DELETE FROM schedule_jobs WHERE schedule_id = $1`,
		`DELETE FROM schedule_runs WHERE schedule_id = $1`,
		`DELETE FROM schedules WHERE id = $1`,
	} {
		if _, err := t.tx.exec(query, s.ID); err != nil {
			return err
		}
	}
	return t.scheduleEvent(&s, service.ScheduleDeleted)
}

func (t *scopedTx) scheduleEvent(s *schedule.Schedule, what service.ScheduleChange) error {
	t.tx.touch(event.Schedules)
	return t.tx.append(event.OfSchedule(s.Tenant, s.ID, s.Spec.Name, string(what), t.scope.Actor(), t.tx.now))
}

// InsertRun implements service.ScheduleTx. It forgets the oldest runs.
func (t *scopedTx) InsertRun(r schedule.Run) (first bool, err error) {
	data, err := encode(r)
	if err != nil {
		return false, err
	}
	n, err := t.tx.exec(`INSERT INTO schedule_runs (schedule_id, run_at, outcome, data) VALUES ($1, $2, $3, $4)
		ON CONFLICT (schedule_id, run_at) DO NOTHING`, r.ScheduleID, r.Time.UnixMicro(), r.Outcome, data)
	if err != nil || n == 0 {
		return false, err
	}
	_, err = t.tx.exec(`DELETE FROM schedule_runs WHERE schedule_id = $1 AND outcome <> 'queued' AND run_at <
		(SELECT MIN(run_at) FROM (SELECT run_at FROM schedule_runs WHERE schedule_id = $1 ORDER BY run_at DESC LIMIT $2) AS newest)`,
		r.ScheduleID, keepRuns)
	return true, err
}

// SettleRun implements service.ScheduleTx.
func (t *scopedTx) SettleRun(r schedule.Run) error {
	data, err := encode(r)
	if err != nil {
		return err
	}
	n, err := t.tx.exec(`UPDATE schedule_runs SET outcome = $1, data = $2 WHERE schedule_id = $3 AND run_at = $4 AND outcome = 'queued'`,
		r.Outcome, data, r.ScheduleID, r.Time.UnixMicro())
	if err == nil && n != 1 {
		return fault.New(fault.Conflict, "HX-SCHED-007", "the run does not wait any more", "look at the schedule")
	}
	return err
}

// ActiveJobs implements service.ScheduleTx.
func (t *scopedTx) ActiveJobs(id string) ([]string, error) {
	_, err := t.tx.exec(`DELETE FROM schedule_jobs WHERE schedule_id = $1 AND NOT EXISTS (SELECT 1 FROM jobs
		WHERE jobs.id = schedule_jobs.job_id AND state NOT IN ('completed', 'failed', 'cancelled'))`, id)
	if err != nil {
		return nil, err
	}
	return t.tx.strings(`SELECT job_id FROM schedule_jobs WHERE schedule_id = $1 ORDER BY job_id`, id)
}

// TrackJobs implements service.ScheduleTx.
func (t *scopedTx) TrackJobs(id string, jobIDs []string) error {
	for _, j := range jobIDs {
		if _, err := t.tx.exec(`INSERT INTO schedule_jobs (schedule_id, job_id) VALUES ($1, $2)`, id, j); err != nil {
			return err
		}
	}
	return nil
}

// truth is a truth as the database has it.
func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}

func errNoSchedule(ref string) error {
	return fault.Newf(fault.NotFound, "HX-SCHED-009", "list the schedules to see their names", "there is no schedule %.100q", ref)
}

func errScheduleName(name string) error {
	return fault.Newf(fault.Conflict, "HX-SCHED-010", "use another name, or change that one", "there is a schedule %q already", name)
}

package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/schedule"
)

// Schedule implements service.ScheduleReader.
func (r *reader) Schedule(ctx context.Context, ref string) (schedule.Schedule, error) {
	var v scheduleRow
	err := r.s.read.QueryRowContext(ctx, `SELECT `+scheduleColumns+` FROM schedules WHERE tenant = $1 AND (id = $2 OR name = $2)`,
		r.tenant, ref).Scan(v.all()...)
	if errors.Is(err, sql.ErrNoRows) {
		return schedule.Schedule{}, errNoSchedule(ref)
	}
	if err == nil {
		err = v.decode()
	}
	return v.Schedule, classify(err)
}

// Schedules implements service.ScheduleReader.
func (r *reader) Schedules(ctx context.Context, after string, limit int) ([]schedule.Schedule, error) {
	return r.s.schedules(ctx, `SELECT `+scheduleColumns+` FROM schedules WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`,
		r.tenant, after, limit)
}

// Runs implements service.ScheduleReader.
func (r *reader) Runs(ctx context.Context, id string, limit int) ([]schedule.Run, error) {
	return r.s.runs(ctx, `SELECT data FROM schedule_runs WHERE schedule_id = (SELECT id FROM schedules WHERE id = $1 AND tenant = $2)
		ORDER BY run_at DESC LIMIT $3`, id, r.tenant, limit)
}

// QueuedRun implements service.ScheduleReader.
func (r *reader) QueuedRun(ctx context.Context, id string) (schedule.Run, bool, error) {
	runs, err := r.s.runs(ctx, `SELECT data FROM schedule_runs WHERE schedule_id = (SELECT id FROM schedules WHERE id = $1 AND tenant = $2)
		AND outcome = 'queued' ORDER BY run_at LIMIT 1`, id, r.tenant)
	if err != nil || len(runs) == 0 {
		return schedule.Run{}, false, err
	}
	return runs[0], true, nil
}

// Due implements service.DueSchedules.
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]schedule.Schedule, error) {
	due, err := s.schedules(ctx, `SELECT `+scheduleColumns+` FROM schedules WHERE due <= $1 AND paused = 0 ORDER BY due LIMIT $2`,
		now.UnixMicro(), limit)
	if err != nil {
		return nil, err
	}
	queued, err := s.schedules(ctx, `SELECT `+scheduleColumns+` FROM schedules WHERE queued > 0 AND paused = 0
		AND (due IS NULL OR due > $1) ORDER BY id LIMIT $2`, now.UnixMicro(), limit)
	return append(due, queued...), err
}

// NextDue implements service.DueSchedules.
func (s *Store) NextDue(ctx context.Context) (time.Time, error) {
	var due int64
	err := s.read.QueryRowContext(ctx, `SELECT due FROM schedules WHERE due IS NOT NULL AND paused = 0 ORDER BY due LIMIT 1`).Scan(&due)
	if errors.Is(err, sql.ErrNoRows) {
		return time.Time{}, nil
	}
	return time.UnixMicro(due).UTC(), classify(err)
}

func (s *Store) schedules(ctx context.Context, query string, args ...any) ([]schedule.Schedule, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (schedule.Schedule, error) {
		var v scheduleRow
		if err := rows.Scan(v.all()...); err != nil {
			return schedule.Schedule{}, err
		}
		return v.Schedule, v.decode()
	})
	return all, classify(err)
}

func (s *Store) runs(ctx context.Context, query, id string, more ...any) ([]schedule.Run, error) {
	rows, err := s.read.QueryContext(ctx, query, append([]any{id}, more...)...)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (r schedule.Run, err error) {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return r, err
		}
		if err := json.Unmarshal(data, &r); err != nil {
			return r, fmt.Errorf("decode a run of schedule %s: %w", id, err)
		}
		r.ScheduleID = id
		return r, nil
	})
	return all, classify(err)
}

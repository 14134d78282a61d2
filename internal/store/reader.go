package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Reader implements service.Store. The reader of the zero scope finds nothing.
func (s *Store) Reader(scope tenant.Scope) service.Reader {
	return &reader{s: s, tenant: string(scope.Tenant())}
}

// reader reads one tenant's data.
type reader struct {
	s      *Store
	tenant string
}

// Job implements service.Reader.
func (r *reader) Job(ctx context.Context, id string) (job.Job, error) {
	var v row
	err := r.s.read.QueryRowContext(ctx, `SELECT `+wholeColumns+` FROM jobs WHERE id = $1 AND tenant = $2`, id, r.tenant).
		Scan(v.whole()...)
	if errors.Is(err, sql.ErrNoRows) {
		return job.Job{}, errNoJob(id)
	}
	if err == nil {
		err = v.decode(r.s.clock.wall())
	}
	if err == nil {
		err = r.withSteps(ctx, &v.Job)
	}
	one := []job.Job{v.Job}
	if err == nil {
		err = r.explain(ctx, one)
	}
	return one[0], classify(err)
}

// Jobs implements service.Reader. The jobs have no receipt: ask for one job.
func (r *reader) Jobs(ctx context.Context, q service.Query, before int64) ([]job.Job, error) {
	now := r.s.clock.wall()
	query, args := r.page(q, before)
	rows, err := r.s.read.QueryContext(ctx, query, args...)
	jobs, err := scanAll(rows, err, func(rows *sql.Rows) (job.Job, error) {
		var v row
		if err := rows.Scan(v.list()...); err != nil {
			return job.Job{}, err
		}
		return v.Job, v.decode(now)
	})
	if err == nil {
		err = r.explain(ctx, jobs)
	}
	return jobs, classify(err)
}

// page returns the query for a page: the jobs before a place, newest first.
func (r *reader) page(q service.Query, before int64) (string, []any) {
	if before <= 0 {
		before = math.MaxInt64
	}
	lead := leadOf(q)
	w := r.where(q, lead)
	order := "seq DESC"
	if lead == "" {
		w.add("seq < $%d", before)
	} else {
		w.below(lead, r.lead(q, lead), before)
		order = lead + " DESC, seq DESC"
	}
	return r.s.w.d.sql(`SELECT ` + jobColumns + ` FROM jobs WHERE ` + w.String() + ` ORDER BY ` + order + ` LIMIT ` + w.arg(q.Limit)), w.args
}

// Count implements service.Reader.
func (r *reader) Count(ctx context.Context, q service.Query, limit int64) (n int64, err error) {
	w := r.where(q, "")
	query := `SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE ` + w.String() + ` LIMIT ` + w.arg(limit) + `) AS part`
	err = r.s.read.QueryRowContext(ctx, query, w.args...).Scan(&n)
	return n, classify(err)
}

// Events implements service.Reader.
func (r *reader) Events(ctx context.Context, jobID string, after int64, limit int) ([]event.Event, error) {
	rows, err := r.s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE job_id = $1 AND tenant = $2 AND seq > $3 ORDER BY seq LIMIT $4`, jobID, r.tenant, after, limit)
	events, err := scanAll(rows, err, scanEvent)
	return events, classify(err)
}

func scanEvent(rows *sql.Rows) (e event.Event, err error) {
	var (
		at   int64
		data []byte
	)
	if err := rows.Scan(&e.Seq, &e.JobID, &e.Tenant, &e.Kind, &e.Actor, &at, &data, &e.Pos); err != nil {
		return e, err
	}
	e.Time = time.UnixMicro(at).UTC()
	if err := json.Unmarshal(data, &e.Data); err != nil {
		return e, fmt.Errorf("decode event %d: %w", e.Seq, err)
	}
	return e, nil
}

// Backlog implements service.Reader.
func (r *reader) Backlog(ctx context.Context) (map[job.State]int64, time.Time, error) {
	return r.s.backlog(ctx, `tenant = $1`, r.tenant)
}

// Backlog counts the jobs of all tenants by state and tells since when the
// oldest one that could run waits (zero: none does). For metrics.
func (s *Store) Backlog(ctx context.Context) (byState map[job.State]int64, oldest time.Time, err error) {
	return s.backlog(ctx, `1 = 1`)
}

func (s *Store) backlog(ctx context.Context, whose string, args ...any) (map[job.State]int64, time.Time, error) {
	counts := make(map[job.State]int64)
	rows, err := s.read.QueryContext(ctx, `SELECT state, COUNT(*) FROM jobs WHERE `+whose+` GROUP BY state`, args...)
	_, err = scanAll(rows, err, func(rows *sql.Rows) (n int64, err error) {
		var state job.State
		err = rows.Scan(&state, &n)
		counts[state] = n
		return n, err
	})
	if err != nil || counts[job.Pending] == 0 {
		return counts, time.Time{}, classify(err)
	}
	var oldest int64
	err = s.read.QueryRowContext(ctx, `SELECT submitted_at FROM jobs WHERE `+whose+` AND state = 'pending' AND delayed = 0
		ORDER BY seq LIMIT 1`, args...).Scan(&oldest)
	if errors.Is(err, sql.ErrNoRows) {
		return counts, time.Time{}, nil
	}
	return counts, time.UnixMicro(oldest).UTC(), classify(err)
}

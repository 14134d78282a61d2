package store

import (
	"context"
	"database/sql"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// sqlOldJobs takes the time, 1 to spare jobs whose artifacts are there, and a
// limit.
const sqlOldJobs = `SELECT id FROM jobs WHERE finished_at < $1
	AND ($2 = 0 OR artifacts IS NULL OR artifacts_removed_at IS NOT NULL)
	AND NOT EXISTS (SELECT 1 FROM ledger WHERE ledger.job_id = jobs.id) ORDER BY finished_at LIMIT $3`

// OldArtifacts implements service.RetentionStore.
func (s *Store) OldArtifacts(ctx context.Context, r service.ArtifactRule, after int64, limit int) ([]job.Job, error) {
	before, keep := int64(0), int64(math.MaxInt64)
	if !r.Before.IsZero() {
		before = r.Before.UnixMicro()
	}
	if r.Keep > 0 {
		keep = int64(r.Keep)
	}
	rows, err := s.read.QueryContext(ctx, `SELECT `+jobColumns+` FROM jobs WHERE seq IN (SELECT seq FROM
		(SELECT seq, finished_at, ROW_NUMBER() OVER (PARTITION BY tenant, vm_path ORDER BY seq DESC) AS place FROM jobs
			WHERE state = 'completed' AND artifacts IS NOT NULL AND artifacts_removed_at IS NULL) AS present
		WHERE seq > $1 AND (finished_at < $2 OR place > $3) ORDER BY seq LIMIT $4) ORDER BY seq`, after, before, keep, limit)
	now := s.clock.wall()
	jobs, err := scanAll(rows, err, func(rows *sql.Rows) (job.Job, error) {
		var v row
		if err := rows.Scan(v.list()...); err != nil {
			return job.Job{}, err
		}
		return v.Job, v.decode(now)
	})
	return jobs, classify(err)
}

// ArtifactsRemoved implements service.RetentionStore. It is idempotent.
func (s *Store) ArtifactsRemoved(ctx context.Context, id, actor, reason string) error {
	return s.w.update(ctx, func(t *tx) error {
		n, err := t.exec(`UPDATE jobs SET artifacts_removed_at = $1 WHERE id = $2 AND state = 'completed' AND artifacts_removed_at IS NULL`,
			t.now.UnixMicro(), id)
		if err != nil || n == 0 {
			return err
		}
		r, err := t.job(id)
		if err != nil {
			return err
		}
		return t.append(event.OfArtifactsRemoved(r.Job, actor, reason, t.now))
	})
}

// CountOldJobs implements service.RetentionStore.
func (s *Store) CountOldJobs(ctx context.Context, r service.JobRule, limit int) (n int, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT COUNT(*) FROM (`+sqlOldJobs+`) AS old`,
		r.Before.UnixMicro(), truth(r.KeepArtifacts), limit).Scan(&n)
	return n, classify(err)
}

// DeleteOldJobs implements service.RetentionStore. On PostgreSQL several nodes take
// different jobs.
func (s *Store) DeleteOldJobs(ctx context.Context, r service.JobRule, actor string, limit int) (n int, err error) {
	err = s.w.update(ctx, func(t *tx) error {
		ids, err := t.strings(sqlOldJobs+` /*! FOR UPDATE SKIP LOCKED */`, r.Before.UnixMicro(), truth(r.KeepArtifacts), limit)
		if err != nil {
			return err
		}
		n = len(ids)
		lost := map[string]*forgotten{}
		for _, id := range ids {
			tenant, places, err := t.deleteJob(id)
			if err != nil {
				return err
			}
			if lost[tenant] == nil {
				lost[tenant] = &forgotten{}
			}
			lost[tenant].jobs++
			lost[tenant].places = append(lost[tenant].places, places...)
		}
		for _, tenant := range slices.Sorted(maps.Keys(lost)) {
			what := fmt.Sprintf("%d jobs that ended before %s, and their %d events", lost[tenant].jobs, r.Before.UTC().Format("2006-01-02 15:04"), len(lost[tenant].places))
			e := event.OfRetention(tenant, actor, what, t.now)
			e.Facts = event.Facts{event.FactRemoved: audit.FormatPlaces(lost[tenant].places)}
			if err := t.append(e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// forgotten is what a tenant lost: jobs, and the places of their events.
type forgotten struct {
	jobs   int64
	places []int64
}

// deleteJob deletes a job that has ended with all that belongs to it. The hashes of
// its events stay in the log.
func (t *tx) deleteJob(id string) (tenant string, places []int64, err error) {
	t.dropCheckpoints(id)
	for _, q := range []string{`DELETE FROM schedule_jobs WHERE job_id = $1`, `DELETE FROM steps WHERE job_id = $1`} {
		if _, err := t.exec(q, id); err != nil {
			return "", nil, err
		}
	}
	if places, err = t.deleteEvents(id); err != nil {
		return "", nil, err
	}
	_, err = t.row(`DELETE FROM jobs WHERE id = $1 RETURNING tenant`, []any{id}, &tenant)
	return tenant, places, err
}

func (t *tx) deleteEvents(jobID string) ([]int64, error) {
	if err := t.w.flushRows(); err != nil {
		return nil, err
	}
	s, err := t.w.stmt(`DELETE FROM events WHERE job_id = $1 RETURNING COALESCE(pos, 0)`) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	t.w.pending++
	t.wrote = true
	rows, err := s.QueryContext(t.w.ctx, jobID)
	return scanAll(rows, err, func(rows *sql.Rows) (pos int64, err error) { return pos, rows.Scan(&pos) })
}

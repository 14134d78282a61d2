package store

import (
	"context"
	"database/sql"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const (
	sqlAddUsage = `INSERT INTO usage_months (tenant, month, completed, failed, cancelled, bytes_read, bytes_transferred, bytes_stored, run_micros)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT (tenant, month) DO UPDATE SET
		completed = usage_months.completed + excluded.completed, failed = usage_months.failed + excluded.failed,
		cancelled = usage_months.cancelled + excluded.cancelled, bytes_read = usage_months.bytes_read + excluded.bytes_read,
		bytes_transferred = usage_months.bytes_transferred + excluded.bytes_transferred,
		bytes_stored = usage_months.bytes_stored + excluded.bytes_stored, run_micros = usage_months.run_micros + excluded.run_micros`
	sqlAddStored = `UPDATE tenants SET stored_bytes = stored_bytes + $1 WHERE id = $2`
	sqlUsage     = `SELECT month, completed, failed, cancelled, bytes_read, bytes_transferred, bytes_stored, run_micros FROM usage_months
		WHERE tenant = $1 AND month >= $2 AND month <= $3 ORDER BY month`
)

// used is what one change adds to its tenant's month.
type used struct {
	completed, failed, cancelled    int
	read, transferred, stored, time int64 // bytes, bytes, bytes, microseconds
}

// plus adds two of them up.
func (u used) plus(v used) used {
	return used{
		completed: u.completed + v.completed, failed: u.failed + v.failed, cancelled: u.cancelled + v.cancelled,
		read: u.read + v.read, transferred: u.transferred + v.transferred, stored: u.stored + v.stored, time: u.time + v.time,
	}
}

// usage notes what a change costs the tenant; claimed is when the run began. It is part of the update that
// makes the change: a fence that refuses that one undoes this, too.
func (t *tx) usage(j job.Job, c job.Change, claimed int64) {
	if c.Trigger == job.Claim {
		return
	}
	u := usedBy(j, c)
	if c.Trigger.Releases() {
		u.time = t.runTime(j, c, claimed)
	}
	if u != (used{}) {
		t.w.kept.use(account{j.Tenant, tenant.MonthOf(t.now)}, u)
		t.wrote = true
	}
}

// runTime is how long a worker had the job. An interruption may be noticed long
// after the worker died, so it ends with the last progress.
func (t *tx) runTime(j job.Job, c job.Change, claimed int64) int64 {
	end := t.now.UnixMicro()
	if c.Trigger == job.Interrupt {
		end = 0
		if j.Progress != nil {
			end = min(t.now.UnixMicro(), j.Progress.UpdatedAt.UnixMicro())
		}
	}
	if claimed == 0 {
		return 0
	}
	return max(0, end-claimed)
}

// usedBy counts a job that has ended. A completed one tells exactly what it
// moved; of the others the last progress does.
func usedBy(j job.Job, c job.Change) used {
	var u used
	switch j.State {
	case job.Completed:
		u.completed = 1
		u.read, u.transferred = c.Outcome.BytesRead, c.Outcome.BytesTransferred
		for i := range j.Artifacts {
			u.stored += j.Artifacts[i].Bytes
		}
		return u
	case job.Failed:
		u.failed = 1
	case job.Cancelled:
		u.cancelled = 1
	default:
		return u
	}
	if p := j.Progress; p != nil {
		u.read, u.transferred = p.BytesRead, p.BytesTransfer
		if p.Phase != "copying" {
			u.read = p.BytesTotal // what is read back, or published, was read whole
		}
	}
	return u
}

// Usage implements service.Directory.
func (s *Store) Usage(ctx context.Context, scope tenant.Scope, from, to tenant.Month) ([]tenant.Usage, error) {
	rows, err := s.read.QueryContext(ctx, sqlUsage, string(scope.Tenant()), string(from), string(to))
	all, err := scanAll(rows, err, func(rows *sql.Rows) (u tenant.Usage, err error) {
		var micros int64
		err = rows.Scan(&u.Month, &u.Completed, &u.Failed, &u.Cancelled, &u.BytesRead, &u.BytesTransferred, &u.BytesStored, &micros)
		u.Seconds = float64(micros) / 1e6
		return u, err
	})
	return all, classify(err)
}

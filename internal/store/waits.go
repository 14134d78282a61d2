package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/job"
)

// sqlHeld asks what holds back all jobs of a tenant.
const sqlHeld = `SELECT paused, max_concurrent_jobs, (SELECT COUNT(*) FROM jobs j WHERE j.tenant = $1 AND j.lease_until IS NOT NULL)
	FROM tenants WHERE id = $1`

// held tells why no job of the tenant may start: job.WaitPaused,
// job.WaitTenantLimit or nothing.
func (r *reader) held(ctx context.Context) (string, error) {
	var s admission.Share
	var paused int
	err := r.s.read.QueryRowContext(ctx, sqlHeld, r.tenant).Scan(&paused, &s.Limit, &s.Running)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return "", nil
	case err != nil:
		return "", err
	case paused != 0:
		return job.WaitPaused, nil
	case !s.Open():
		return job.WaitTenantLimit, nil
	}
	return "", nil
}

// explain replaces the reason of the jobs that could start by that of their
// tenant.
func (r *reader) explain(ctx context.Context, jobs []job.Job) error {
	reason, asked := "", false
	for i := range jobs {
		j := &jobs[i]
		if j.WaitReason == "" || j.WaitReason == job.WaitPaused {
			continue
		}
		if !asked {
			var err error
			if reason, err = r.held(ctx); err != nil {
				return err
			}
			asked = true
		}
		if reason == job.WaitPaused || reason != "" && j.WaitReason == job.WaitSlot {
			j.WaitReason = reason
		}
	}
	return nil
}

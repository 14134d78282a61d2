package store

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Update implements service.Store.
func (s *Store) Update(ctx context.Context, scope tenant.Scope, fn func(service.Tx) error) error {
	if scope.Tenant() == "" {
		return fault.New(fault.Denied, "HX-STORE-007", "no tenant is given", "")
	}
	return s.w.update(ctx, func(t *tx) error {
		t.origin = scope.Origin()
		return t.once(scope.Once(), func() error { return fn(&scopedTx{tx: t, scope: scope}) })
	})
}

// sqlCountWaiting counts the pending jobs of a tenant up to a limit.
const sqlCountWaiting = `SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE tenant = $1 AND state = 'pending' LIMIT $2) AS part`

// scopedTx is an update of one tenant's data.
type scopedTx struct {
	tx    *tx
	scope tenant.Scope
}

// Insert implements service.Tx.
func (t *scopedTx) Insert(j *job.Job) error {
	if j.Tenant != string(t.scope.Tenant()) {
		return fault.New(fault.Denied, "HX-STORE-008", "the job belongs to another tenant", "")
	}
	return t.tx.insert(j, t.scope.Actor())
}

// Account implements service.Tx. The row of a tenant with a quota is held until
// the end of the update, so that another node cannot count at the same time.
func (t *scopedTx) Account() (a tenant.Account, waiting int64, err error) {
	a, err = t.tx.account(t.scope.Tenant())
	if err != nil || a.MaxQueuedJobs == 0 && a.MaxStorageBytes == 0 {
		return a, 0, err
	}
	if a, err = t.tx.held(a.ID); err != nil || a.MaxQueuedJobs == 0 {
		return a, 0, err
	}
	_, err = t.tx.row(sqlCountWaiting, []any{string(a.ID), a.MaxQueuedJobs}, &waiting)
	return a, waiting, err
}

// Cancel implements service.Tx.
func (t *scopedTx) Cancel(id, reason string) (job.Job, bool, error) {
	r, err := t.job(id)
	if err != nil {
		return job.Job{}, false, err
	}
	return t.tx.apply(r, r.CancelBy(t.scope.Actor(), reason))
}

// Change implements service.Tx.
func (t *scopedTx) Change(id string, c job.Change) (job.Job, bool, error) {
	r, err := t.job(id)
	if err != nil {
		return job.Job{}, false, err
	}
	c.Actor = t.scope.Actor()
	return t.tx.apply(r, c)
}

// job reads a job of the tenant.
func (t *scopedTx) job(id string) (row, error) {
	r, err := t.tx.job(id)
	if err == nil && r.Tenant != string(t.scope.Tenant()) {
		err = errNoJob(id)
	}
	return r, err
}

package store

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// drainBatch is how many jobs one update cancels at most.
const drainBatch = 200

const (
	sqlDraining = `SELECT id FROM tenants WHERE state = 'draining'`
	sqlWaiting  = `SELECT id FROM jobs WHERE tenant = $1 AND state = 'pending' ORDER BY seq LIMIT $2`
	sqlOpen     = `SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE tenant = $1 AND state IN ('pending', 'running', 'cancelling') LIMIT 1) AS part`
)

// drain shuts a tenant out: its keys and schedules end at once, its jobs by Drain.
func (t *tx) drain(a tenant.Account, actor string) error {
	if _, err := t.exec(`UPDATE api_keys SET revoked_at = $1 WHERE tenant = $2 AND revoked_at IS NULL`, t.now.UnixMicro(), string(a.ID)); err != nil {
		return err
	}
	for _, q := range []string{
		`DELETE FROM schedule_jobs WHERE schedule_id IN (SELECT id FROM schedules WHERE tenant = $1)`,
		`DELETE FROM schedule_runs WHERE schedule_id IN (SELECT id FROM schedules WHERE tenant = $1)`,
		`DELETE FROM schedules WHERE tenant = $1`,
	} {
		if _, err := t.exec(q, string(a.ID)); err != nil {
			return err
		}
	}
	return t.append(event.OfAccount(event.TenantDraining, string(a.ID), actor, "tenant:"+string(a.ID), "", t.now))
}

// Drain implements service.Directory.
func (s *Store) Drain(ctx context.Context) (cancelled []job.Job, more bool, err error) {
	if none, err := s.nothing(ctx, question{sql: sqlDraining}); none || err != nil {
		return nil, false, err
	}
	err = s.w.update(ctx, func(t *tx) error {
		cancelled, more = nil, false
		ids, err := t.strings(sqlDraining)
		if err != nil {
			return err
		}
		for _, id := range ids {
			jobs, err := t.cancelWaiting(id)
			if err != nil {
				return err
			}
			cancelled = append(cancelled, jobs...)
			if len(jobs) > 0 {
				more = true
				continue
			}
			if err := t.bury(tenant.ID(id)); err != nil {
				return err
			}
		}
		return nil
	})
	return cancelled, more, err
}

// cancelWaiting cancels the pending jobs of a tenant that is deleted.
func (t *tx) cancelWaiting(id string) ([]job.Job, error) {
	ids, err := t.strings(sqlWaiting, id, drainBatch)
	if err != nil {
		return nil, err
	}
	jobs := make([]job.Job, 0, len(ids))
	for _, id := range ids {
		r, err := t.job(id)
		if err != nil {
			return nil, err
		}
		j, _, err := t.apply(r, r.CancelBy("system", "the tenant is deleted"))
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

// bury deletes a draining tenant that has no job left to end.
func (t *tx) bury(id tenant.ID) error {
	var open int
	if _, err := t.row(sqlOpen, []any{string(id)}, &open); err != nil || open > 0 {
		return err
	}
	n, err := t.exec(`UPDATE tenants SET state = 'deleted' WHERE id = $1 AND state = 'draining'`, string(id))
	if err != nil || n == 0 { // another node was faster
		return err
	}
	if err := t.dropWebhooks(`tenant = $1`, string(id)); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM sessions WHERE tenant = $1`, string(id)); err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM answers WHERE tenant = $1`, string(id)); err != nil {
		return err
	}
	return t.append(event.OfAccount(event.TenantDeleted, string(id), "system", "tenant:"+string(id), "", t.now))
}

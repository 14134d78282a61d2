package store

import "context"

// SetTenant stores what claims read of a tenant.
func (s *Store) SetTenant(ctx context.Context, id string, weight int64, limit int, paused bool) error {
	hold := 0
	if paused {
		hold = 1
	}
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`INSERT INTO tenants (id, name, weight, max_concurrent_jobs, paused, created_at) VALUES ($1, $1, $2, $3, $4, 0)
			ON CONFLICT (id) DO UPDATE SET weight = excluded.weight, max_concurrent_jobs = excluded.max_concurrent_jobs, paused = excluded.paused`,
			id, weight, limit, hold)
		return err
	})
}

// Copy makes jobs out of the first some that are stored, in turn, half of them
// cancelled.
func (s *Store) Copy(ctx context.Context, some, copies int) error {
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
			INSERT INTO jobs (id, tenant, state, priority, max_attempts, submitted_at, vm_path, vm_name, spec, ready_at)
			SELECT 'copy-' || n.i, j.tenant, CASE WHEN n.i / $2 % 2 = 0 THEN 'pending' ELSE 'cancelled' END, j.priority, j.max_attempts,
				j.submitted_at, j.vm_path, j.vm_name, j.spec, j.ready_at
			FROM n JOIN jobs j ON j.seq = 1 + n.i % $2`, copies, some)
		return err
	})
}

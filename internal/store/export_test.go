package store

import "context"

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

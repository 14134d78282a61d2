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

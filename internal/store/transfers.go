package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/hypersdk/hypersdk/internal/limit"
)

const (
	sqlPostTransfers = `INSERT INTO transfers (node, tenant, n, until) VALUES ($1, $2, $3, $4)`
	sqlLostTransfers = `DELETE FROM transfers WHERE (node, tenant) IN (SELECT node, tenant FROM transfers WHERE until <= $1 /*! FOR UPDATE SKIP LOCKED */)`

	sqlCountTransfers = `SELECT tenant, SUM(CASE WHEN node = $1 THEN n ELSE 0 END), SUM(n) FROM transfers WHERE until > $2 GROUP BY tenant`
	sqlOtherNodes     = `SELECT COUNT(*) FROM nodes WHERE id <> $1 AND lost_at > $2`
)

// Post implements limit.Board.
func (s *Store) Post(ctx context.Context, node string, transfers map[string]int, ttl time.Duration) error {
	return s.w.update(ctx, func(t *tx) error {
		if _, err := t.execAside(`DELETE FROM transfers WHERE node = $1`, node); err != nil {
			return err
		}
		for tenant, n := range transfers {
			if _, err := t.execAside(sqlPostTransfers, node, tenant, n, t.now.Add(ttl).UnixMicro()); err != nil {
				return err
			}
		}
		_, err := t.execAside(sqlLostTransfers, t.now.UnixMicro())
		return err
	})
}

// Counts implements limit.Board.
func (s *Store) Counts(ctx context.Context, node string) (counts map[string]limit.Count, alone bool, err error) {
	now := s.clock.wall().UnixMicro()
	type row struct {
		tenant string
		limit.Count
	}
	rows, err := s.read.QueryContext(ctx, sqlCountTransfers, node, now)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (r row, err error) { return r, rows.Scan(&r.tenant, &r.Own, &r.All) })
	if err != nil {
		return nil, false, classify(err)
	}
	others := 0
	if err := s.read.QueryRowContext(ctx, sqlOtherNodes, node, now).Scan(&others); err != nil {
		return nil, false, classify(err)
	}
	counts = make(map[string]limit.Count, len(all))
	for _, r := range all {
		counts[r.tenant] = r.Count
	}
	return counts, others == 0, nil
}

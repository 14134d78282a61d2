package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/node"
)

// keepLost is how long a lost node stays on the list.
const keepLost = 24 * time.Hour

const (
	sqlBeat = `INSERT INTO nodes (id, life, host, url, version, workers, busy, draining, started_at, last_seen, lost_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (id) DO UPDATE SET life = excluded.life, host = excluded.host, url = excluded.url, version = excluded.version,
			workers = excluded.workers, busy = excluded.busy, draining = excluded.draining,
			started_at = excluded.started_at, last_seen = excluded.last_seen, lost_at = excluded.lost_at
		WHERE nodes.life = excluded.life OR $12 = 1`
	sqlForgetLost = `DELETE FROM nodes WHERE id IN (SELECT id FROM nodes WHERE lost_at <= $1 /*! FOR UPDATE SKIP LOCKED */)`
)

// Beat implements node.Registry.
func (s *Store) Beat(ctx context.Context, n node.Node, life string, ttl time.Duration, join bool) error {
	return s.w.update(ctx, func(t *tx) error {
		changed, err := t.exec(sqlBeat, n.ID, life, n.Host, n.URL, n.Version, n.Workers, n.Busy, bit(n.State == node.Draining),
			n.StartedAt.UnixMicro(), t.now.UnixMicro(), t.now.Add(ttl).UnixMicro(), bit(join))
		if err != nil {
			return err
		}
		if changed == 0 {
			return fault.Newf(fault.Conflict, "HX-NODE-002", "remove node.id from the state directory of the copy and start it again",
				"another process has the identity %s of this node: its state directory was copied", n.ID)
		}
		_, err = t.exec(sqlForgetLost, t.now.Add(-keepLost).UnixMicro())
		return err
	})
}

// Leave implements node.Registry.
func (s *Store) Leave(ctx context.Context, id, life string) error {
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM nodes WHERE id = $1 AND life = $2`, id, life)
		return err
	})
}

// Nodes implements service.Nodes.
func (s *Store) Nodes(ctx context.Context) ([]node.Node, error) {
	now := s.clock.wall().UnixMicro()
	rows, err := s.read.QueryContext(ctx, `SELECT id, host, url, version, workers, busy, draining, started_at, last_seen, lost_at
		FROM nodes ORDER BY id`)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (n node.Node, err error) {
		var draining, started, seen, lost int64
		err = rows.Scan(&n.ID, &n.Host, &n.URL, &n.Version, &n.Workers, &n.Busy, &draining, &started, &seen, &lost)
		n.StartedAt, n.LastSeen = time.UnixMicro(started).UTC(), time.UnixMicro(seen).UTC()
		switch {
		case lost <= now:
			n.State = node.Lost
		case draining == 1:
			n.State = node.Draining
		default:
			n.State = node.Alive
		}
		return n, err
	})
	return all, classify(err)
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/audit"
)

const (
	recordColumns = `pos, seq, job_id, tenant, kind, actor, at, data, COALESCE(facts, '')`
	sqlPlaced     = `SELECT ` + recordColumns + ` FROM events WHERE pos > $1 ORDER BY pos`
	sqlTile       = `SELECT data FROM log_tiles WHERE level = $1 AND n = $2`
	sqlPutTile    = `INSERT INTO log_tiles (level, n, data) VALUES ($1, $2, $3) ON CONFLICT (level, n) DO UPDATE SET data = excluded.data`
	sqlCheckpoint = `INSERT INTO log_checkpoints (size, note, at) VALUES ($1, $2, $3)`
)

// SignLog lets a node's key sign checkpoints of the log. Call it before
// RunSequencer; without it places are given, and nothing is signed.
func (s *Store) SignLog(signer *audit.Signer) { s.signer = signer }

// grow adds the events that got places behind size to the tree, and signs it.
func (t *tx) grow(size int64, signer *audit.Signer) error {
	leaves, err := t.leaves(size)
	if err != nil {
		return err
	}
	tree := audit.NewTree(t.tile)
	err = tree.Append(size, leaves, func(id audit.TileID, data []byte) error {
		_, err := t.exec(sqlPutTile, id.Level, id.N, data)
		return err
	})
	if err != nil || signer == nil {
		return err
	}
	size += int64(len(leaves))
	root, err := tree.Root(size)
	if err != nil {
		return err
	}
	c, err := signer.Sign(size, root, t.now)
	if err != nil {
		return err
	}
	_, err = t.exec(sqlCheckpoint, size, c.Note, t.now.UnixMicro())
	return err
}

// leaves hashes the events behind a place. They are all inserted: they have one.
func (t *tx) leaves(after int64) ([]audit.Hash, error) {
	s, err := t.w.stmt(sqlPlaced) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, after)
	t.placed = map[string]int{}
	return scanAll(rows, err, func(rows *sql.Rows) (audit.Hash, error) {
		r, err := scanRecord(rows)
		t.placed[audit.ResultOf(r.Kind)]++
		return r.Hash(), err
	})
}

func scanRecord(rows *sql.Rows) (r audit.Record, err error) {
	err = rows.Scan(&r.Pos, &r.Seq, &r.JobID, &r.Tenant, &r.Kind, &r.Actor, &r.At, &r.Data, &r.Facts)
	return r, err
}

func (t *tx) tile(id audit.TileID) (data []byte, err error) {
	found, err := t.row(sqlTile, []any{id.Level, id.N}, &data)
	if err == nil && !found {
		err = errNoTile(id)
	}
	return data, err
}

// readTile reads a tile outside of a transaction.
func readTile(ctx context.Context, db *pool, id audit.TileID) (data []byte, err error) {
	err = db.QueryRowContext(ctx, sqlTile, id.Level, id.N).Scan(&data)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoTile(id)
	}
	return data, classify(err)
}

func errNoTile(id audit.TileID) error {
	return fmt.Errorf("%w: %d/%d is missing", audit.ErrTile, id.Level, id.N)
}

package store

import (
	"context"
	"database/sql"
	"errors"
	"slices"

	"github.com/hypersdk/hypersdk/internal/dispatch"
)

// checkpoints keep how far the disks of one leased job are.
type checkpoints struct {
	s *Store
	l dispatch.Lease
}

// Checkpoints implements dispatch.Queue.
func (s *Store) Checkpoints(l dispatch.Lease) dispatch.Checkpoints { return &checkpoints{s: s, l: l} }

// Load implements dispatch.Checkpoints.
func (c *checkpoints) Load(ctx context.Context, disk string) (cp dispatch.Checkpoint, found bool, err error) {
	err = c.s.read.QueryRowContext(ctx, `SELECT off, digest FROM checkpoints WHERE job_id = $1 AND disk = $2`,
		c.l.Job.ID, disk).Scan(&cp.Offset, &cp.Digest)
	if errors.Is(err, sql.ErrNoRows) {
		return cp, false, nil
	}
	if err != nil {
		return cp, false, classify(err)
	}
	rows, err := c.s.read.QueryContext(ctx, `SELECT record FROM checkpoint_records WHERE job_id = $1 AND disk = $2 ORDER BY seq`,
		c.l.Job.ID, disk)
	cp.Records, err = scanAll(rows, err, func(rows *sql.Rows) (b []byte, err error) { return b, rows.Scan(&b) })
	return cp, err == nil, classify(err)
}

// Append implements dispatch.Checkpoints.
func (c *checkpoints) Append(ctx context.Context, disk string, offset int64, digest, record []byte) error {
	if digest == nil {
		digest = []byte{}
	}
	return c.s.fenced(ctx, c.l, func(t *tx) error {
		var one int
		again, err := t.row(`SELECT 1 FROM checkpoints WHERE job_id = $1 AND disk = $2 AND off = $3 AND digest = $4`,
			[]any{c.l.Job.ID, disk, offset, digest}, &one)
		if again || err != nil {
			return err
		}
		_, err = t.exec(`INSERT INTO checkpoints (job_id, disk, off, digest) VALUES ($1, $2, $3, $4)
			ON CONFLICT (job_id, disk) DO UPDATE SET off = excluded.off, digest = excluded.digest`,
			c.l.Job.ID, disk, offset, digest)
		if err != nil || record == nil {
			return err
		}
		_, err = t.exec(`INSERT INTO checkpoint_records (job_id, disk, seq, record) VALUES ($1, $2,
			(SELECT COALESCE(MAX(seq), 0) + 1 FROM checkpoint_records WHERE job_id = $1 AND disk = $2), $3)`,
			c.l.Job.ID, disk, record)
		return err
	})
}

// Reset implements dispatch.Checkpoints.
func (c *checkpoints) Reset(ctx context.Context, disk string) error {
	return c.s.fenced(ctx, c.l, func(t *tx) error {
		if _, err := t.exec(`DELETE FROM checkpoint_records WHERE job_id = $1 AND disk = $2`, c.l.Job.ID, disk); err != nil {
			return err
		}
		_, err := t.exec(`DELETE FROM checkpoints WHERE job_id = $1 AND disk = $2`, c.l.Job.ID, disk)
		return err
	})
}

var (
	deleteCheckpoints = newMany(`DELETE FROM checkpoints WHERE job_id IN (`, make([]string, 1), `)`)
	deleteRecords     = newMany(`DELETE FROM checkpoint_records WHERE job_id IN (`, make([]string, 1), `)`)
)

// dropCheckpoints forgets all disks of some jobs.
func (t *tx) dropCheckpoints(ids ...string) {
	for part := range slices.Chunk(ids, maxRows) {
		for _, m := range []many{deleteCheckpoints, deleteRecords} {
			text, args := m.padded(t.w.d, keys(part))
			t.later(text, args...)
		}
	}
}

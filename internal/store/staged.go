package store

import (
	"context"
	"database/sql"
	"errors"

	"github.com/hypersdk/hypersdk/internal/dispatch"
)

// Holder tells how a job is whose run has staged something, with the token of one
// of its steps if there is one. found is false if the store does not know the job.
func (s *Store) Holder(ctx context.Context, jobID, step string) (h dispatch.Holder, found bool, err error) {
	err = s.read.QueryRowContext(ctx, `SELECT state, COALESCE(node, ''), lease_until IS NOT NULL, token FROM jobs WHERE id = $1`, jobID).
		Scan(&h.State, &h.Node, &h.Leased, &h.Token)
	if err == nil && step != "" {
		h.Token = nil
		err = s.read.QueryRowContext(ctx, `SELECT token FROM steps WHERE job_id = $1 AND id = $2`, jobID, step).Scan(&h.Token)
		if errors.Is(err, sql.ErrNoRows) {
			return h, true, nil
		}
	}
	if errors.Is(err, sql.ErrNoRows) {
		return h, false, nil
	}
	return h, err == nil, classify(err)
}

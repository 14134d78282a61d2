package store

import (
	"context"
	"time"
)

// What waits, from the indexes of the claim loop: no answer depends on how many
// jobs have ended, and a long queue is looked at no further than asked for.
const (
	sqlReadySince = `SELECT COUNT(*), COALESCE(MIN(CASE WHEN not_before > submitted_at THEN not_before ELSE submitted_at END), 0)
		FROM (SELECT submitted_at, not_before FROM jobs WHERE state = 'pending' AND delayed = 0 LIMIT $1) AS waiting`
	sqlOverdueSince = `SELECT COUNT(*), COALESCE(MIN(not_before), 0)
		FROM (SELECT not_before FROM jobs WHERE state = 'pending' AND delayed = 1 AND not_before <= $1 LIMIT $2) AS waiting`
)

// Ready implements dispatch.Backlog.
func (s *Store) Ready(ctx context.Context, limit int) (n int, oldest time.Time, err error) {
	var ready, overdue int
	var since, over int64
	if err := s.read.QueryRowContext(ctx, sqlReadySince, limit).Scan(&ready, &since); err != nil {
		return 0, oldest, classify(err)
	}
	if err := s.read.QueryRowContext(ctx, sqlOverdueSince, s.clock.wall().UnixMicro(), limit).Scan(&overdue, &over); err != nil {
		return 0, oldest, classify(err)
	}
	if overdue > 0 && (ready == 0 || over < since) {
		since = over
	}
	if ready+overdue > 0 {
		oldest = time.UnixMicro(since).UTC()
	}
	return min(limit, ready+overdue), oldest, nil
}

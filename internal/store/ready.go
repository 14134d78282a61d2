package store

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// What waits, from the indexes of the claim loop: no answer depends on how many
// jobs have ended.
const (
	sqlCountReady   = `SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE state = 'pending' AND delayed = 0 LIMIT $1) AS some`
	sqlCountOverdue = `SELECT COUNT(*) FROM (SELECT 1 FROM jobs WHERE state = 'pending' AND delayed = 1 AND not_before <= $1 LIMIT $2) AS some`
	sqlOldestReady  = `SELECT submitted_at, not_before FROM jobs WHERE state = 'pending' AND delayed = 0 AND priority = $1 ORDER BY seq LIMIT 1`
	sqlOldestOver   = `SELECT submitted_at, not_before FROM jobs WHERE state = 'pending' AND delayed = 1 AND not_before <= $1 ORDER BY not_before LIMIT 1`
)

// Ready implements dispatch.Backlog.
func (s *Store) Ready(ctx context.Context, limit int) (n int, oldest time.Time, err error) {
	now := s.clock.wall().UnixMicro()
	var overdue int
	if err := s.read.QueryRowContext(ctx, sqlCountReady, limit).Scan(&n); err != nil {
		return 0, oldest, classify(err)
	}
	if err := s.read.QueryRowContext(ctx, sqlCountOverdue, now, limit).Scan(&overdue); err != nil {
		return 0, oldest, classify(err)
	}
	if n = min(limit, n+overdue); n == 0 {
		return 0, oldest, nil
	}
	first := int64(0)
	look := func(query string, arg any) error {
		var submitted, notBefore int64
		err := s.read.QueryRowContext(ctx, query, arg).Scan(&submitted, &notBefore)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if since := max(submitted, notBefore); err == nil && (first == 0 || since < first) {
			first = since
		}
		return classify(err)
	}
	err = look(sqlOldestOver, now)
	for class := 0; err == nil && class <= job.Low.Class(); class++ {
		err = look(sqlOldestReady, class)
	}
	if first != 0 {
		oldest = time.UnixMicro(first).UTC()
	}
	return n, oldest, err
}

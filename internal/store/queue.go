package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
)

// promoteBatch is how many delayed jobs become ready in one update at most, so
// that a crowd whose time has come does not hold up everybody else.
const promoteBatch = 500

// reapBatch is how many leases one update takes back at most.
const reapBatch = 200

// someDue is what sqlAnyReady finds if a delayed job has become ready.
const someDue = 2

// The questions of the claim loop. Each has an index of its own that holds only
// the rows it is about.
const (
	sqlPromote = `UPDATE jobs SET delayed = 0 WHERE seq IN (SELECT seq FROM jobs
		WHERE state = 'pending' AND delayed = 1 AND not_before <= $1 ORDER BY not_before LIMIT $2 /*! FOR UPDATE SKIP LOCKED */)`
	// sqlAnyReady finds someDue if there is one to promote.
	sqlAnyReady = `SELECT CASE WHEN ` + sqlAnyDue + ` THEN 2 ELSE 1 END
		WHERE EXISTS (SELECT 1 FROM jobs WHERE state = 'pending' AND delayed = 0) OR ` + sqlAnyDue
	sqlAnyDue     = `EXISTS (SELECT 1 FROM jobs WHERE state = 'pending' AND delayed = 1 AND not_before <= $1)`
	sqlAnyToClean = `SELECT 1 FROM jobs WHERE state = 'cancelling' AND lease_until IS NULL AND not_before <= $1 LIMIT 1`
	sqlClean      = `SELECT id FROM jobs WHERE state = 'cancelling' AND lease_until IS NULL AND not_before <= $1
		ORDER BY not_before LIMIT $2 /*! FOR UPDATE SKIP LOCKED */`
	sqlExpired    = `SELECT id FROM jobs WHERE lease_until <= $1 ORDER BY lease_until LIMIT $2 /*! FOR UPDATE SKIP LOCKED */`
	sqlLeasedBy   = `SELECT id FROM jobs WHERE lease_until IS NOT NULL AND node = $1 LIMIT $2 /*! FOR UPDATE SKIP LOCKED */`
	sqlCancelling = `SELECT id FROM jobs WHERE lease_until IS NOT NULL AND node = $1 AND state = 'cancelling'`
)

// Claim implements dispatch.Queue.
func (s *Store) Claim(ctx context.Context, node string, lease time.Duration, n int) ([]dispatch.Lease, error) {
	now := s.clock.wall().UnixMicro()
	return s.claim(ctx, question{sqlAnyReady, []any{now}}, func(t *tx, due int64) ([]dispatch.Lease, error) {
		if due == someDue {
			if _, err := t.exec(sqlPromote, t.now.UnixMicro(), promoteBatch); err != nil {
				return nil, err
			}
		}
		a, err := t.admit(s.policy, n, func(rows []row) ([]dispatch.Lease, error) { return t.lend(rows, node, lease) })
		if err != nil {
			return nil, err
		}
		return a.claim()
	})
}

// ClaimCleanup implements dispatch.Queue.
func (s *Store) ClaimCleanup(ctx context.Context, node string, lease time.Duration, n int) ([]dispatch.Lease, error) {
	q := question{sqlAnyToClean, []any{s.clock.wall().UnixMicro()}}
	return s.claim(ctx, q, func(t *tx, _ int64) ([]dispatch.Lease, error) {
		ids, err := t.strings(sqlClean, t.now.UnixMicro(), n)
		if err != nil {
			return nil, err
		}
		rows, err := t.findAll(ids)
		if err != nil {
			return nil, err
		}
		return t.lend(rows, node, lease)
	})
}

// lend gives jobs to a node.
func (t *tx) lend(rows []row, node string, lease time.Duration) ([]dispatch.Lease, error) {
	moves := make([]*move, len(rows))
	for i, r := range rows {
		moves[i] = &move{row: r, change: job.ClaimBy(node), lease: t.lease() + lease.Microseconds()}
	}
	if err := t.applyAll(moves); err != nil {
		return nil, err
	}
	leases := make([]dispatch.Lease, len(moves))
	for i, m := range moves {
		if m.err != nil {
			return nil, m.err
		}
		leases[i] = dispatch.Lease{Job: m.Job, Token: m.token, Crashes: m.crashes}
	}
	return leases, nil
}

func (s *Store) claim(ctx context.Context, q question, take func(t *tx, found int64) ([]dispatch.Lease, error)) (leases []dispatch.Lease, err error) {
	var found int64
	if none, err := s.ask(ctx, q, &found); none || err != nil {
		return nil, err
	}
	err = s.w.update(ctx, func(t *tx) (err error) {
		leases, err = take(t, found)
		return err
	})
	if err != nil {
		return nil, err
	}
	return leases, nil
}

// Renew implements dispatch.Queue.
func (s *Store) Renew(ctx context.Context, l dispatch.Lease, lease time.Duration, p *job.Progress) (cancel bool, err error) {
	progress, err := encodeOrNull(p)
	if err != nil {
		return false, err
	}
	var state job.State
	err = s.w.update(ctx, func(t *tx) error {
		found, err := t.row(`UPDATE jobs SET lease_until = $1, progress = COALESCE($2, progress)
			WHERE id = $3 AND epoch = $4 AND node = $5 AND lease_until IS NOT NULL RETURNING state`,
			[]any{t.lease() + lease.Microseconds(), progress, l.Job.ID, l.Job.Epoch, l.Job.Node}, &state)
		if err != nil {
			return err
		}
		if !found {
			return errStale(l.Job.ID)
		}
		if p != nil {
			t.touch(event.JobTopic(l.Job.ID))
		}
		return nil
	})
	return err == nil && state == job.Cancelling, err
}

// fenced runs fn in an update if the lease is still the newest. The epoch says so,
// and the node where a fail-over has lost the claim: then another one may have been
// given the same epoch.
func (s *Store) fenced(ctx context.Context, l dispatch.Lease, fn func(*tx) error) error {
	return s.w.update(ctx, func(t *tx) error {
		var one int
		found, err := t.row(`SELECT 1 FROM jobs WHERE id = $1 AND epoch = $2 AND node = $3 AND lease_until IS NOT NULL /*! FOR UPDATE */`,
			[]any{l.Job.ID, l.Job.Epoch, l.Job.Node}, &one)
		if err != nil {
			return err
		}
		if !found {
			return errStale(l.Job.ID)
		}
		return fn(t)
	})
}

// Reap implements dispatch.Queue.
func (s *Store) Reap(ctx context.Context) (int, error) {
	q := question{sqlExpired, []any{s.clock.lease(), reapBatch}}
	if err := s.unparkLost(ctx); err != nil {
		return 0, err
	}
	return s.release(ctx, "the lease ran out", q, func(t *tx) ([]string, error) { return t.strings(sqlExpired, t.lease(), reapBatch) })
}

// TakeBack implements dispatch.Queue.
func (s *Store) TakeBack(ctx context.Context, node string) (int, error) {
	q := question{sqlLeasedBy, []any{node, reapBatch}}
	return s.release(ctx, "the node was started again", q, func(t *tx) ([]string, error) { return t.strings(q.sql, q.args...) })
}

// release gives back the jobs that pick finds until it finds no more.
func (s *Store) release(ctx context.Context, reason string, q question, pick func(*tx) ([]string, error)) (total int, err error) {
	if none, err := s.nothing(ctx, q); none || err != nil {
		return 0, err
	}
	for n := reapBatch; n == reapBatch; total += n {
		err := s.w.update(ctx, func(t *tx) error {
			ids, err := pick(t)
			n = len(ids)
			for _, id := range ids {
				r, err := t.job(id)
				if err != nil {
					return err
				}
				if _, _, err := t.apply(r, job.InterruptBy(r.Node, reason)); err != nil {
					return err
				}
				if err := t.crashed(id); err != nil {
					return err
				}
			}
			return err
		})
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

// Cancelling implements dispatch.Queue.
func (s *Store) Cancelling(ctx context.Context, node string) ([]string, error) {
	rows, err := s.read.QueryContext(ctx, sqlCancelling, node)
	ids, err := scanAll(rows, err, func(rows *sql.Rows) (id string, err error) { return id, rows.Scan(&id) })
	return ids, classify(err)
}

// SaveToken implements dispatch.Queue.
func (s *Store) SaveToken(ctx context.Context, l dispatch.Lease, token []byte) error {
	return s.fenced(ctx, l, func(t *tx) error {
		_, err := t.exec(`UPDATE jobs SET token = $1 WHERE id = $2`, token, l.Job.ID)
		return err
	})
}

// SaveTrace implements dispatch.Queue.
func (s *Store) SaveTrace(ctx context.Context, l dispatch.Lease, parent string) error {
	return s.fenced(ctx, l, func(t *tx) error {
		_, err := t.exec(`UPDATE jobs SET run_trace = $1 WHERE id = $2`, parent, l.Job.ID)
		return err
	})
}

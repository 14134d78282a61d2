package store

import (
	"context"
	"database/sql"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

var _ outbox.Queue = (*Store)(nil)

const (
	sqlNews = `SELECT 1 FROM events WHERE pos > (SELECT pos FROM outbox WHERE id = 1)
		AND pos > (SELECT MIN(since) FROM webhooks WHERE enabled = 1) LIMIT 1`
	sqlListeners = `SELECT ` + webhookColumns + ` FROM webhooks WHERE enabled = 1 ORDER BY id`
	sqlNextNews  = `SELECT ` + eventColumns + ` FROM events WHERE pos > $1 ORDER BY pos LIMIT $2`
	sqlDueHooks  = `SELECT id FROM webhooks WHERE due <= $1 AND key_id = $2 AND failing = $3 AND (lease_until IS NULL OR lease_until <= $1)
		ORDER BY due LIMIT $4 /*! FOR UPDATE SKIP LOCKED */`
	sqlNextDue = `SELECT MIN(CASE WHEN lease_until > due THEN lease_until ELSE due END) FROM webhooks WHERE due IS NOT NULL AND key_id = $1`
)

// logEnd is the place behind which new events come. What was committed before gets
// its place first, unless another node gives it one just now. The checkpoint of that
// is signed with the next places: the change that asks is an event, too.
func (t *tx) logEnd() (pos int64, err error) {
	if _, err := t.place(placeBatch, nil); err != nil {
		return 0, err
	}
	_, err = t.row(`SELECT size FROM log_head WHERE id = 1`, nil, &pos)
	return pos, err
}

// RelayEvents implements outbox.Queue.
func (s *Store) RelayEvents(ctx context.Context, limit int) (more bool, err error) {
	if none, err := s.nothing(ctx, question{sql: sqlNews}); none || err != nil {
		return false, err
	}
	err = s.w.update(ctx, func(t *tx) (err error) {
		more, err = t.relay(limit)
		return err
	})
	return more && err == nil, err
}

// listing is a webhook as the relay sees it.
type listing struct {
	webhookRow
	waits int // deliveries that wait; -1: not counted yet
	made  bool
}

func (t *tx) relay(limit int) (more bool, err error) {
	var pos int64
	found, err := t.row(`SELECT pos FROM outbox WHERE id = 1 /*! FOR UPDATE SKIP LOCKED */`, nil, &pos)
	if err != nil || !found { // another node is at it
		return false, err
	}
	all, err := t.listings()
	if err != nil || len(all) == 0 {
		return false, err
	}
	first := all[0].since
	for _, l := range all {
		first = min(first, l.since)
	}
	notes, err := t.notes(max(pos, first), limit)
	if err != nil || len(notes) == 0 {
		return false, err
	}
	for _, n := range notes {
		for _, l := range all {
			if l.Tenant == n.Tenant && n.Pos > l.since && l.Wants(n) {
				if err := t.relayTo(l, n); err != nil {
					return false, err
				}
			}
		}
	}
	for _, l := range all {
		if l.made {
			if err := t.rearm(&l.Webhook); err != nil {
				return false, err
			}
		}
	}
	_, err = t.exec(`UPDATE outbox SET pos = $1 WHERE id = 1`, notes[len(notes)-1].Pos)
	return len(notes) == limit, err
}

// relayTo makes one delivery. One too many is dead from its beginning.
func (t *tx) relayTo(l *listing, e event.Event) (err error) {
	if l.waits < 0 {
		if l.waits, err = t.waiting(l.ID); err != nil {
			return err
		}
	}
	if l.waits >= maxWaiting {
		_, err := t.insertDelivery(&l.Webhook, webhook.Delivery{
			ID: webhook.DeliveryID(l.ID, e.Seq), Kind: string(e.Kind), Event: e.Seq, JobID: e.JobID, State: webhook.Dead, LastError: webhook.Overflow,
		}, 0)
		return err
	}
	made, err := t.deliver(&l.Webhook, e, false)
	if made {
		l.made = true
		l.waits++
	}
	return err
}

func (t *tx) listings() ([]*listing, error) {
	s, err := t.w.stmt(sqlListeners) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx)
	return scanAll(rows, err, func(rows *sql.Rows) (*listing, error) {
		l := &listing{waits: -1}
		if err := rows.Scan(l.all()...); err != nil {
			return nil, err
		}
		return l, l.decode()
	})
}

func (t *tx) notes(after int64, limit int) ([]event.Event, error) {
	s, err := t.w.stmt(sqlNextNews) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, after, limit)
	return scanAll(rows, err, scanEvent)
}

// NextTurn implements outbox.Queue.
func (s *Store) NextTurn(ctx context.Context, key string) (time.Duration, bool, error) {
	var due sql.NullInt64
	if err := s.read.QueryRowContext(ctx, sqlNextDue, key).Scan(&due); err != nil || !due.Valid {
		return 0, false, classify(err)
	}
	return max(0, time.UnixMicro(due.Int64).Sub(s.clock.wall())), true, nil
}

// ForgetDeliveries implements outbox.Queue.
func (s *Store) ForgetDeliveries(ctx context.Context, done, open time.Time, limit int) (n int, err error) {
	err = s.w.update(ctx, func(t *tx) error {
		n = 0
		for _, q := range []struct {
			sql    string
			before time.Time
		}{
			{`SELECT id FROM deliveries WHERE finished_at < $1 ORDER BY finished_at LIMIT $2`, done},
			{`SELECT id FROM deliveries WHERE state = 'pending' AND created_at < $1 LIMIT $2`, open},
		} {
			ids, err := t.strings(q.sql, q.before.UnixMicro(), limit)
			if err != nil {
				return err
			}
			for _, id := range ids {
				if err := t.forgetDelivery(id); err != nil {
					return err
				}
			}
			n = max(n, len(ids))
		}
		return nil
	})
	return n, err
}

func (t *tx) forgetDelivery(id string) error {
	if _, err := t.exec(`DELETE FROM delivery_attempts WHERE delivery_id = $1`, id); err != nil {
		return err
	}
	_, err := t.exec(`DELETE FROM deliveries WHERE id = $1`, id)
	return err
}

// ReleaseTurns implements outbox.Queue.
func (s *Store) ReleaseTurns(ctx context.Context, node string) error {
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE webhooks SET lease_until = NULL, node = '', epoch = epoch + 1 WHERE node = $1`, node)
		return err
	})
}

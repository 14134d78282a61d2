package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

const sqlPending = `(SELECT COUNT(*) FROM deliveries WHERE webhook_id = webhooks.id AND state = 'pending')`

// Webhook implements service.WebhookReader.
func (r *reader) Webhook(ctx context.Context, ref string) (webhook.Webhook, error) {
	all, err := r.webhooks(ctx, `tenant = $1 AND (id = $2 OR name = $2)`, r.tenant, ref)
	if err == nil && len(all) == 0 {
		err = errNoWebhook(ref)
	}
	if err != nil {
		return webhook.Webhook{}, err
	}
	return all[0], nil
}

// Webhooks implements service.WebhookReader.
func (r *reader) Webhooks(ctx context.Context, after string, limit int) ([]webhook.Webhook, error) {
	return r.webhooks(ctx, `tenant = $1 AND name > $2 ORDER BY name LIMIT $3`, r.tenant, after, limit)
}

func (r *reader) webhooks(ctx context.Context, which string, args ...any) ([]webhook.Webhook, error) {
	rows, err := r.s.read.QueryContext(ctx, `SELECT `+webhookColumns+`, `+sqlPending+` FROM webhooks WHERE `+which, args...)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (webhook.Webhook, error) {
		var v webhookRow
		if err := rows.Scan(append(v.all(), &v.Pending)...); err != nil {
			return webhook.Webhook{}, err
		}
		return v.Webhook, v.decode()
	})
	return all, classify(err)
}

// Deliveries implements service.WebhookReader.
func (r *reader) Deliveries(ctx context.Context, id string, state webhook.State, before int64, limit int) ([]webhook.Delivery, error) {
	rows, err := r.s.read.QueryContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries
		WHERE webhook_id = (SELECT id FROM webhooks WHERE id = $1 AND tenant = $2) AND ($3 = '' OR state = $3) AND (CAST($4 AS BIGINT) = 0 OR seq < $4)
		ORDER BY seq DESC LIMIT $5`, id, r.tenant, string(state), before, limit)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (webhook.Delivery, error) {
		var v deliveryRow
		if err := rows.Scan(v.all()...); err != nil {
			return webhook.Delivery{}, err
		}
		d := v.decode()
		d.Payload = ""
		return d, nil
	})
	return all, classify(err)
}

// Delivery implements service.WebhookReader.
func (r *reader) Delivery(ctx context.Context, id, delivery string) (webhook.Delivery, error) {
	var v deliveryRow
	err := r.s.read.QueryRowContext(ctx, `SELECT `+deliveryColumns+` FROM deliveries
		WHERE id = $1 AND webhook_id = (SELECT id FROM webhooks WHERE id = $2 AND tenant = $3)`, delivery, id, r.tenant).Scan(v.all()...)
	if errors.Is(err, sql.ErrNoRows) {
		return webhook.Delivery{}, errNoDelivery(delivery)
	}
	if err != nil {
		return webhook.Delivery{}, classify(err)
	}
	d := v.decode()
	rows, err := r.s.read.QueryContext(ctx, `SELECT number, at, took, status, error FROM delivery_attempts WHERE delivery_id = $1 ORDER BY number`, delivery)
	d.Log, err = scanAll(rows, err, func(rows *sql.Rows) (a webhook.Attempt, err error) {
		var at, took int64
		err = rows.Scan(&a.Number, &at, &took, &a.Status, &a.Error)
		a.At, a.Duration = time.UnixMicro(at).UTC(), float64(took)/1e6
		return a, err
	})
	return d, classify(err)
}

// clockSkew is how much the times of neighbours in the log may be out of order.
const clockSkew = time.Minute

// EventsSince implements service.WebhookReader. Where the events of a time begin is
// looked for by halving: the log is in the order of time, but for small steps.
func (r *reader) EventsSince(ctx context.Context, since time.Time, after int64, limit int) ([]event.Event, error) {
	if after == 0 {
		var err error
		if after, err = r.s.before(ctx, since.Add(-clockSkew)); err != nil {
			return nil, err
		}
	}
	rows, err := r.s.read.QueryContext(ctx, `SELECT `+eventColumns+` FROM events
		WHERE seq > $1 AND tenant = $2 AND at >= $3 ORDER BY seq LIMIT $4`, after, r.tenant, since.UnixMicro(), limit)
	events, err := scanAll(rows, err, scanEvent)
	return events, classify(err)
}

// before returns the seq behind which all events of a time and later are.
func (s *Store) before(ctx context.Context, at time.Time) (low int64, err error) {
	var high int64
	if err := s.read.QueryRowContext(ctx, `SELECT COALESCE(MAX(seq), 0) FROM events`).Scan(&high); err != nil {
		return 0, classify(err)
	}
	for low < high {
		mid := low + (high-low)/2
		var then int64
		err := s.read.QueryRowContext(ctx, `SELECT at FROM events WHERE seq > $1 ORDER BY seq LIMIT 1`, mid).Scan(&then)
		if err != nil {
			return 0, fmt.Errorf("search the log: %w", classify(err))
		}
		if then < at.UnixMicro() {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, nil
}

// Hooks counts the webhooks of all tenants by the state of their circuit breaker,
// and tells how many deliveries wait and since when the oldest does (zero: none).
// For metrics.
func (s *Store) Hooks(ctx context.Context) (breakers map[webhook.BreakerState]int64, waiting int64, oldest time.Time, err error) {
	breakers = map[webhook.BreakerState]int64{}
	rows, err := s.read.QueryContext(ctx, `SELECT breaker, COUNT(*) FROM webhooks WHERE enabled = 1 GROUP BY breaker`)
	_, err = scanAll(rows, err, func(rows *sql.Rows) (n int64, err error) {
		var state webhook.BreakerState
		err = rows.Scan(&state, &n)
		breakers[state] = n
		return n, err
	})
	if err != nil {
		return nil, 0, oldest, classify(err)
	}
	var since sql.NullInt64
	err = s.read.QueryRowContext(ctx, `SELECT COUNT(*), MIN(created_at) FROM deliveries WHERE state = 'pending'
		AND webhook_id IN (SELECT id FROM webhooks WHERE enabled = 1)`).Scan(&waiting, &since)
	if since.Valid {
		oldest = time.UnixMicro(since.Int64).UTC()
	}
	return breakers, waiting, oldest, classify(err)
}

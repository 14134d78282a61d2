package store

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

const sqlDueDeliveries = `SELECT ` + deliveryColumns + ` FROM deliveries WHERE webhook_id = $1 AND state = 'pending' AND next_at <= $2
	ORDER BY next_at, seq LIMIT $3`

// ClaimTurns implements outbox.Queue.
func (s *Store) ClaimTurns(ctx context.Context, c outbox.Claim) (turns []outbox.Turn, err error) {
	err = s.w.update(ctx, func(t *tx) error {
		turns = nil
		ids, err := t.strings(sqlDueHooks, t.now.UnixMicro(), c.Key, truth(c.Failing), c.Limit)
		if err != nil {
			return err
		}
		for _, id := range ids {
			turn, ok, err := t.beginTurn(id, c.Node)
			if err != nil {
				return err
			}
			if ok {
				turns = append(turns, turn)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return turns, nil
}

// beginTurn gives an endpoint to a node. ok is false if there is nothing to do after
// all.
func (t *tx) beginTurn(id, node string) (turn outbox.Turn, ok bool, err error) {
	r, found, err := t.webhook(`id = $1`, id)
	if err != nil || !found {
		return turn, false, err
	}
	turn = outbox.Turn{Node: node, Epoch: r.epoch + 1, From: r.Health.Breaker}
	r.Health.Look(t.now)
	turn.Webhook = r.Webhook
	if room := r.Health.Room(&r.Spec); room > 0 && r.Enabled && !r.Health.NotBefore().After(t.now) {
		if turn.Deliveries, err = t.dueDeliveries(id, room); err != nil {
			return turn, false, err
		}
	}
	if len(turn.Deliveries) == 0 {
		return turn, false, t.rearm(&r.Webhook)
	}
	if err := t.saveHealth(&r.Webhook); err != nil {
		return turn, false, err
	}
	_, err = t.exec(`UPDATE webhooks SET node = $1, epoch = $2, lease_until = $3 WHERE id = $4`,
		node, turn.Epoch, t.now.Add(outbox.TurnTime(&r.Spec)).UnixMicro(), id)
	return turn, err == nil, err
}

func (t *tx) dueDeliveries(id string, limit int) ([]webhook.Delivery, error) {
	s, err := t.w.stmt(sqlDueDeliveries) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, id, t.now.UnixMicro(), limit)
	return scanAll(rows, err, func(rows *sql.Rows) (webhook.Delivery, error) {
		var r deliveryRow
		if err := rows.Scan(r.all()...); err != nil {
			return webhook.Delivery{}, err
		}
		return r.decode(), nil
	})
}

// SettleTurn implements outbox.Queue.
func (s *Store) SettleTurn(ctx context.Context, turn outbox.Turn, results []outbox.Result) (out outbox.Settled, err error) {
	err = s.w.update(ctx, func(t *tx) (err error) {
		out, err = t.settle(turn, results)
		return err
	})
	return out, err
}

func (t *tx) settle(turn outbox.Turn, results []outbox.Result) (out outbox.Settled, err error) {
	r, found, err := t.webhook(`id = $1 AND epoch = $2 AND lease_until IS NOT NULL`, turn.Webhook.ID, turn.Epoch)
	if err != nil {
		return out, err
	}
	if !found {
		return out, fault.New(fault.Conflict, "HX-HOOK-035", "the turn of the webhook was over", "")
	}
	w := &r.Webhook
	out.From = w.Health.Breaker
	gone := false
	for _, a := range results {
		if err := t.recordAttempt(a); err != nil {
			return out, err
		}
		w.Health.Record(&w.Spec, a.Outcome, a.Verdict, t.now)
		gone = gone || a.Verdict.Gone
	}
	out.To = w.Health.Breaker
	if err := t.endTurn(w); err != nil {
		return out, err
	}
	if err := t.breakerEvent(w, out, turn.Node); err != nil {
		return out, err
	}
	out.Disabled, err = t.disable(w, gone, turn.Node)
	return out, err
}

// recordAttempt writes one attempt and what follows. One that was asked for anew
// meanwhile is written to its log only.
func (t *tx) recordAttempt(a outbox.Result) error {
	var number int
	found, err := t.row(`UPDATE deliveries SET tries = tries + 1, attempts = attempts + 1, state = $1, next_at = $2, finished_at = $3,
		last_status = $4, last_error = $5 WHERE id = $6 AND state = 'pending' RETURNING attempts`, []any{
		string(a.Verdict.State), t.now.Add(a.Verdict.Delay).UnixMicro(), t.ended(a.Verdict.State),
		a.Outcome.Status, string(a.Outcome.Class), a.ID,
	}, &number)
	if err != nil || !found { // it was deleted with its webhook, or forgotten
		return err
	}
	if _, err := t.exec(`INSERT INTO delivery_attempts (delivery_id, number, at, took, status, error) VALUES ($1, $2, $3, $4, $5, $6)`,
		a.ID, number, a.At.UnixMicro(), a.Took.Microseconds(), a.Outcome.Status, string(a.Outcome.Class)); err != nil {
		return err
	}
	_, err = t.exec(`DELETE FROM delivery_attempts WHERE delivery_id = $1 AND number <= $2`, a.ID, number-keepAttempts)
	return err
}

func (t *tx) endTurn(w *webhook.Webhook) error {
	if err := t.saveHealth(w); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE webhooks SET node = '', lease_until = NULL WHERE id = $1`, w.ID); err != nil {
		return err
	}
	return t.rearm(w)
}

// breakerEvent tells of a breaker that opened or closed, not of each attempt that
// found it as it was.
func (t *tx) breakerEvent(w *webhook.Webhook, s outbox.Settled, node string) error {
	var what string
	switch {
	case s.From == webhook.Closed && s.To == webhook.Open:
		what = "breaker_opened"
	case s.From == webhook.HalfOpen && s.To == webhook.Closed:
		what = "breaker_closed"
	default:
		return nil
	}
	return t.append(event.OfWebhook(w.Tenant, w.ID, what, w.Spec.Name, "node:"+node, t.now))
}

// disable gives up an endpoint that wants no more, or only failed for long.
func (t *tx) disable(w *webhook.Webhook, gone bool, node string) (why string, err error) {
	limit, since := w.Spec.GiveUpAfter(), w.Health.FailingSince
	switch {
	case !w.Enabled:
		return "", nil
	case gone:
		why = "the endpoint answered 410: it wants no more"
	case limit > 0 && since != nil && t.now.Sub(*since) >= limit:
		why = fmt.Sprintf("all attempts since %s failed", since.UTC().Format(time.RFC3339))
	default:
		return "", nil
	}
	w.Enabled, w.DisabledReason, w.UpdatedAt = false, why, t.now.UTC().Truncate(time.Microsecond)
	if err := t.saveWebhook(w, w.Tenant); err != nil {
		return "", err
	}
	return why, t.append(event.OfWebhook(w.Tenant, w.ID, string(service.WebhookDisabled), w.Spec.Name+": "+why, "node:"+node, t.now))
}

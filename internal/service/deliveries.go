package service

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// Bounds of a replay.
const (
	maxReplay   = 10_000 // deliveries
	replayBatch = 100    // events of one transaction
)

// DeliveryPage is one page of deliveries, the latest first.
type DeliveryPage struct {
	Items      []webhook.Delivery
	NextCursor string
}

// Deliveries returns one page of the deliveries of a webhook, in a state or (empty)
// in any. Kinds Invalid, NotFound.
func (s *Service) Deliveries(ctx context.Context, p tenant.Principal, ref string, state webhook.State, limit int, cursor string) (DeliveryPage, error) {
	scope, err := p.Scope(tenant.WebhookRead)
	if err != nil {
		return DeliveryPage{}, err
	}
	if limit, err = webhookLimit(limit); err != nil {
		return DeliveryPage{}, err
	}
	if state != "" && !slices.Contains(webhook.States(), state) {
		return DeliveryPage{}, fault.Newf(fault.Invalid, "HX-HOOK-048", "leave it out for all", "status %.50q is not one of pending, delivered, dead", string(state))
	}
	before, err := seqCursor(cursor)
	if err != nil {
		return DeliveryPage{}, err
	}
	reader := s.store.Reader(scope)
	w, err := reader.Webhook(ctx, ref)
	if err != nil {
		return DeliveryPage{}, err
	}
	all, err := reader.Deliveries(ctx, w.ID, state, before, limit+1)
	if err != nil {
		return DeliveryPage{}, err
	}
	page := DeliveryPage{Items: all}
	if len(all) > limit {
		page.Items = all[:limit]
		page.NextCursor = strconv.FormatInt(all[limit-1].Seq, 10)
	}
	return page, nil
}

// Delivery returns one delivery with its payload and its attempts.
func (s *Service) Delivery(ctx context.Context, p tenant.Principal, ref, delivery string) (webhook.Delivery, error) {
	scope, err := p.Scope(tenant.WebhookRead)
	if err != nil {
		return webhook.Delivery{}, err
	}
	reader := s.store.Reader(scope)
	w, err := reader.Webhook(ctx, ref)
	if err != nil {
		return webhook.Delivery{}, err
	}
	return reader.Delivery(ctx, w.ID, delivery)
}

// ResendDelivery sends a delivery again, with the same id. Kinds NotFound, Conflict
// (the webhook is disabled).
func (s *Service) ResendDelivery(ctx context.Context, p tenant.Principal, ref, delivery string) (d webhook.Delivery, err error) {
	q := request{operation: "resend_delivery", of: []string{ref, delivery}}
	_, err = once(ctx, s.repeats, p, q, &d, func(o *tenant.Once) error {
		return s.sending(ctx, p, ref, o, func(tx Tx, w *webhook.Webhook) (err error) {
			d, err = tx.ResendDelivery(w, delivery)
			d.Payload = ""
			return err
		})
	})
	return d, err
}

// TestWebhook sends a message that stands for no event. It takes the way of all
// deliveries, before those that wait, and is not tried again.
func (s *Service) TestWebhook(ctx context.Context, p tenant.Principal, ref string) (d webhook.Delivery, err error) {
	_, err = once(ctx, s.repeats, p, request{operation: "test_webhook", of: ref}, &d, func(o *tenant.Once) error {
		return s.sending(ctx, p, ref, o, func(tx Tx, w *webhook.Webhook) (err error) {
			now := s.now()
			d = webhook.Delivery{ID: webhook.TestID(), Kind: string(webhook.KindTest), State: webhook.Pending, CreatedAt: now}
			d.Payload, d.ContentType, err = w.Spec.Render(d.ID, webhook.TestMessage(*w, p.Name(), now))
			if err != nil {
				return err
			}
			err = tx.TestWebhook(w, d)
			d.Payload = ""
			return err
		})
	})
	return d, err
}

// sending lets fn make deliveries of a webhook that is enabled.
func (s *Service) sending(ctx context.Context, p tenant.Principal, ref string, o *tenant.Once, fn func(tx Tx, w *webhook.Webhook) error) error {
	scope, err := p.Scope(tenant.WebhookWrite)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, scope.Under(o), func(tx Tx) error {
		w, err := tx.Webhook(ref)
		if err != nil {
			return err
		}
		if !w.Enabled {
			return fault.Newf(fault.Conflict, "HX-HOOK-038", "enable it first", "the webhook %s is disabled: %s", w.Spec.Name, w.DisabledReason)
		}
		return fn(tx, &w)
	})
}

// ReplayWebhook sends the events since a time that the webhook wants once more, with
// the same ids; those that wait stay as they are. n is how many. Kinds NotFound,
// Conflict (it is disabled), Unprocessable: more than 10000, and the first of them
// are sent.
func (s *Service) ReplayWebhook(ctx context.Context, p tenant.Principal, ref string, since time.Time) (n int, err error) {
	scope, err := p.Scope(tenant.WebhookWrite)
	if err != nil {
		return 0, err
	}
	var done replayed
	q := request{operation: "replay_webhook", of: []any{ref, since.UTC()}, steps: true}
	_, err = once(ctx, s.repeats, p, q, &done, func(o *tenant.Once) error { return s.replay(ctx, p, s.store.Reader(scope), ref, since, o, &done) })
	return done.N, err
}

// replayed tells how far a replay got.
type replayed struct {
	N     int   // deliveries that were made
	After int64 // the last event that was looked at
	Over  bool  // there are more than maxReplay
}

func (s *Service) replay(ctx context.Context, p tenant.Principal, reader Reader, ref string, since time.Time, o *tenant.Once, done *replayed) error {
	for last := false; !last && !done.Over; {
		events, err := reader.EventsSince(ctx, since, done.After, replayBatch)
		if err != nil {
			return err
		}
		if last = len(events) < replayBatch; o != nil {
			o.More = !last
		}
		err = s.replayBatch(ctx, p, ref, since, events, o, done)
		if err != nil || o != nil && o.Found != nil {
			return err
		}
		if o != nil {
			o.Steps++
		}
	}
	if done.Over {
		return fault.Newf(fault.Unprocessable, "HX-HOOK-028", "replay the rest since a later time", "more than %d events are to be sent: the first %d are", maxReplay, done.N)
	}
	return nil
}

// replayBatch makes deliveries of some events; the last batch tells of all.
func (s *Service) replayBatch(ctx context.Context, p tenant.Principal, ref string, since time.Time, events []event.Event, o *tenant.Once, done *replayed) error {
	before, last := *done, len(events) < replayBatch
	return s.sending(ctx, p, ref, o, func(tx Tx, w *webhook.Webhook) error {
		n, err := tx.ReplayEvents(w, events)
		if err != nil {
			return err
		}
		*done = replayed{N: before.N + n, After: before.After}
		if !last {
			done.After, done.Over = events[len(events)-1].Seq, done.N >= maxReplay
			return nil
		}
		return tx.WebhookReplayed(w, fmt.Sprintf("%s: %d events since %s", w.Spec.Name, done.N, since.UTC().Format(time.RFC3339)))
	})
}

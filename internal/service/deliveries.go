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
	err = s.sending(ctx, p, ref, func(tx Tx, w *webhook.Webhook) (err error) {
		d, err = tx.ResendDelivery(w, delivery)
		return err
	})
	d.Payload = ""
	return d, err
}

// TestWebhook sends a message that stands for no event. It takes the way of all
// deliveries, before those that wait, and is not tried again.
func (s *Service) TestWebhook(ctx context.Context, p tenant.Principal, ref string) (d webhook.Delivery, err error) {
	err = s.sending(ctx, p, ref, func(tx Tx, w *webhook.Webhook) (err error) {
		now := s.now()
		d = webhook.Delivery{ID: webhook.TestID(), Kind: string(webhook.KindTest), State: webhook.Pending, CreatedAt: now}
		d.Payload, d.ContentType, err = w.Spec.Render(d.ID, webhook.TestMessage(*w, p.Name(), now))
		if err != nil {
			return err
		}
		return tx.TestWebhook(w, d)
	})
	d.Payload = ""
	return d, err
}

// sending lets fn make deliveries of a webhook that is enabled.
func (s *Service) sending(ctx context.Context, p tenant.Principal, ref string, fn func(tx Tx, w *webhook.Webhook) error) error {
	scope, err := p.Scope(tenant.WebhookWrite)
	if err != nil {
		return err
	}
	return s.store.Update(ctx, scope, func(tx Tx) error {
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
	reader := s.store.Reader(scope)
	for after := int64(0); ; {
		events, err := reader.EventsSince(ctx, since, after, replayBatch)
		if err != nil {
			return n, err
		}
		last := len(events) < replayBatch
		made, err := s.replayBatch(ctx, p, ref, since, events, n, last || n >= maxReplay)
		if err != nil {
			return n, err
		}
		if n += made; n >= maxReplay && !last {
			return n, fault.Newf(fault.Unprocessable, "HX-HOOK-028", "replay the rest since a later time", "more than %d events are to be sent: the first %d are", maxReplay, n)
		}
		if last {
			return n, nil
		}
		after = events[len(events)-1].Seq
	}
}

// replayBatch makes deliveries of some events; the last batch tells of all.
func (s *Service) replayBatch(ctx context.Context, p tenant.Principal, ref string, since time.Time, events []event.Event, before int, last bool) (n int, err error) {
	err = s.sending(ctx, p, ref, func(tx Tx, w *webhook.Webhook) (err error) {
		if n, err = tx.ReplayEvents(w, events); err != nil || !last {
			return err
		}
		return tx.WebhookReplayed(w, fmt.Sprintf("%s: %d events since %s", w.Spec.Name, before+n, since.UTC().Format(time.RFC3339)))
	})
	return n, err
}

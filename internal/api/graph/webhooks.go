package graph

import (
	"context"
	"encoding/json"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// Webhook is a webhook with the health of its endpoint.
type Webhook struct{ webhook.Webhook }

func webhookAnswer(w webhook.Webhook, err error) (Webhook, error) { return Webhook{w}, err }

// Name of the webhook.
func (w Webhook) Name() string { return w.Webhook.Spec.Name }

// Description of the webhook.
func (w Webhook) Description() string { return w.Webhook.Spec.Description }

// URL is the host only.
func (w Webhook) URL() string { return w.Webhook.Spec.URL }

// Events are never null.
func (w Webhook) Events() []string { return listed(w.Webhook.Spec.Events) }

// Format of what is posted.
func (w Webhook) Format() webhook.Format { return w.Webhook.Spec.Format }

// Spec is the definition as REST shows it.
func (w Webhook) Spec() (json.RawMessage, error) { return json.Marshal(w.Webhook.Spec) }

// Secrets are never null.
func (w Webhook) Secrets() []webhook.SecretInfo { return listed(w.Webhook.Secrets) }

// pageInfo is that of a page whose cursors are REST's.
func pageInfo(after *string, next string) PageInfo {
	return PageInfo{HasNextPage: next != "", HasPreviousPage: value(after) != "", EndCursor: some(next)}
}

func (q *queries) Webhooks(ctx context.Context, first *int, after *string) (WebhookPage, error) {
	limit, err := limitOf(first)
	if err != nil {
		return WebhookPage{}, err
	}
	page, err := q.deps.Service.Webhooks(ctx, principal(ctx), limit, value(after))
	out := WebhookPage{Nodes: make([]Webhook, len(page.Items)), PageInfo: pageInfo(after, page.NextCursor)}
	for i := range page.Items {
		out.Nodes[i] = Webhook{page.Items[i]}
	}
	return out, err
}

func (q *queries) Webhook(ctx context.Context, id string) (Webhook, error) {
	return webhookAnswer(q.deps.Service.Webhook(ctx, principal(ctx), id))
}

func (q *queries) Deliveries(ctx context.Context, of string, status *webhook.State, first *int, after *string) (DeliveryPage, error) {
	limit, err := limitOf(first)
	if err != nil {
		return DeliveryPage{}, err
	}
	page, err := q.deps.Service.Deliveries(ctx, principal(ctx), of, value(status), limit, value(after))
	for i := range page.Items {
		page.Items[i].Log = listed(page.Items[i].Log)
	}
	return DeliveryPage{Nodes: listed(page.Items), PageInfo: pageInfo(after, page.NextCursor)}, err
}

func (q *queries) Delivery(ctx context.Context, of, id string) (webhook.Delivery, error) {
	return deliveryAnswer(q.deps.Service.Delivery(ctx, principal(ctx), of, id))
}

func deliveryAnswer(d webhook.Delivery, err error) (webhook.Delivery, error) {
	d.Log = listed(d.Log)
	return d, err
}

func (m *mutations) CreateWebhook(ctx context.Context, in map[string]any) (NewWebhook, error) {
	var d webhook.Definition
	if err := bind(in, &d); err != nil {
		return NewWebhook{}, err
	}
	return newWebhook(m.deps.Service.CreateWebhook(ctx, principal(ctx), d))
}

func newWebhook(made service.NewWebhook, err error) (NewWebhook, error) {
	if err != nil {
		return NewWebhook{}, err
	}
	return NewWebhook{Secret: made.Secret.Reveal(), Webhook: Webhook{made.Webhook}}, nil
}

func (m *mutations) SetWebhook(ctx context.Context, id string, in map[string]any) (Webhook, error) {
	var d webhook.Definition
	if err := bind(in, &d); err != nil {
		return Webhook{}, err
	}
	return webhookAnswer(m.deps.Service.SetWebhook(ctx, principal(ctx), id, d))
}

func (m *mutations) DeleteWebhook(ctx context.Context, id string) (string, error) {
	return id, m.deps.Service.DeleteWebhook(ctx, principal(ctx), id)
}

func (m *mutations) EnableWebhook(ctx context.Context, id string) (Webhook, error) {
	return webhookAnswer(m.deps.Service.EnableWebhook(ctx, principal(ctx), id))
}

func (m *mutations) DisableWebhook(ctx context.Context, id string) (Webhook, error) {
	return webhookAnswer(m.deps.Service.DisableWebhook(ctx, principal(ctx), id))
}

func (m *mutations) RotateWebhook(ctx context.Context, id string, overlap *string) (NewWebhook, error) {
	d := service.DefaultOverlap
	if value(overlap) != "" {
		var err error
		if d, err = time.ParseDuration(*overlap); err != nil {
			return NewWebhook{}, fault.Newf(fault.Invalid, "HX-HOOK-029", "write it as 24h or 30m", "overlap: %.50q is no duration", *overlap)
		}
	}
	return newWebhook(m.deps.Service.RotateWebhook(ctx, principal(ctx), id, d))
}

func (m *mutations) TestWebhook(ctx context.Context, id string) (webhook.Delivery, error) {
	return deliveryAnswer(m.deps.Service.TestWebhook(ctx, principal(ctx), id))
}

func (m *mutations) ReplayWebhook(ctx context.Context, id string, since time.Time) (int, error) {
	return m.deps.Service.ReplayWebhook(ctx, principal(ctx), id, since)
}

func (m *mutations) ResendDelivery(ctx context.Context, of, id string) (webhook.Delivery, error) {
	return deliveryAnswer(m.deps.Service.ResendDelivery(ctx, principal(ctx), of, id))
}

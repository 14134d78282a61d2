package service

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// WebhookReader reads one tenant's webhooks. ref is an id or a name; what is not
// there is NotFound.
type WebhookReader interface {
	Webhook(ctx context.Context, ref string) (webhook.Webhook, error)
	// Webhooks returns those whose names follow after, by name.
	Webhooks(ctx context.Context, after string, limit int) ([]webhook.Webhook, error)
	// Deliveries returns those of a webhook in a state (empty: in any), the latest
	// first, all with Seq < before if before is not 0.
	Deliveries(ctx context.Context, id string, state webhook.State, before int64, limit int) ([]webhook.Delivery, error)
	// Delivery returns one with its payload and its attempts.
	Delivery(ctx context.Context, id, delivery string) (webhook.Delivery, error)
	// EventsSince returns events with Seq > after that happened at since or later,
	// in the order of Seq.
	EventsSince(ctx context.Context, since time.Time, after int64, limit int) ([]event.Event, error)
}

// WebhookTx changes one tenant's webhooks within a transaction.
type WebhookTx interface {
	// InsertWebhook stores a new webhook; events from now on are for it. Kinds
	// Conflict (the name is taken, or the tenant is being deleted), Exhausted (there
	// are too many).
	InsertWebhook(w *webhook.Webhook) error
	// Webhook returns the webhook that ref names, to change it. Kind NotFound.
	Webhook(ref string) (webhook.Webhook, error)
	// SaveWebhook stores a changed webhook. One that is enabled by it gets the events
	// from now on. change and why go to the event log. Kind Conflict: somebody else
	// changed it, or the name is taken.
	SaveWebhook(w *webhook.Webhook, change WebhookChange, why string) error
	// DeleteWebhook forgets a webhook and its deliveries.
	DeleteWebhook(id string) error
	// TestWebhook stores the delivery of a test. An open circuit breaker lets it
	// through.
	TestWebhook(w *webhook.Webhook, d webhook.Delivery) error
	// ResendDelivery makes an ended delivery wait again, from its first attempt on.
	// One that waits is brought forward. Kind NotFound.
	ResendDelivery(w *webhook.Webhook, delivery string) (webhook.Delivery, error)
	// ReplayEvents makes deliveries of those events that the webhook wants, and has
	// those sent again that have ended. n is how many.
	ReplayEvents(w *webhook.Webhook, events []event.Event) (n int, err error)
	// WebhookReplayed appends the event of a replay.
	WebhookReplayed(w *webhook.Webhook, why string) error
}

// WebhookChange names what happened to a webhook.
type WebhookChange string

// The changes.
const (
	WebhookCreated  WebhookChange = "created"
	WebhookChanged  WebhookChange = "changed"
	WebhookEnabled  WebhookChange = "enabled"
	WebhookDisabled WebhookChange = "disabled"
	WebhookRotated  WebhookChange = "rotated"
	WebhookDeleted  WebhookChange = "deleted"
	WebhookTested   WebhookChange = "tested"
	WebhookResent   WebhookChange = "resent"
	WebhookReplayed WebhookChange = "replayed"
)

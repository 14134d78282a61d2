package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// WebhookSpec says who is told of what. Name and URL are needed, the rest has
// defaults.
type WebhookSpec struct {
	Name         string            `json:"name"`
	Description  string            `json:"description,omitempty"`
	URL          string            `json:"url,omitempty"`    // a secret: answers have only its host; in a change empty: it stays
	Events       []string          `json:"events,omitempty"` // kinds, with * and ?
	VMs          []string          `json:"vms,omitempty"`    // patterns of vm_path
	Labels       map[string]string `json:"labels,omitempty"`
	Format       string            `json:"format,omitempty"` // standard (default), cloudevents, slack, teams, template
	Template     string            `json:"template,omitempty"`
	Timeout      string            `json:"timeout,omitempty"` // Go duration, of one attempt
	Retry        *WebhookRetry     `json:"retry,omitempty"`
	Breaker      *WebhookBreaker   `json:"circuit_breaker,omitempty"`
	DisableAfter string            `json:"disable_after,omitempty"` // Go duration
}

// WebhookRetry says when a delivery that failed is tried again.
type WebhookRetry struct {
	MaxRetries    *int    `json:"max_retries,omitempty"`
	InitialDelay  string  `json:"initial_delay,omitempty"`
	MaxDelay      string  `json:"max_delay,omitempty"`
	BackoffFactor float64 `json:"backoff_factor,omitempty"`
	RetryOnStatus []int   `json:"retry_on_status,omitempty"`
}

// WebhookBreaker says when an endpoint is left alone.
type WebhookBreaker struct {
	Enabled          *bool  `json:"enabled,omitempty"`
	FailureThreshold int    `json:"failure_threshold,omitempty"`
	SuccessThreshold int    `json:"success_threshold,omitempty"`
	Timeout          string `json:"timeout,omitempty"`
}

// Webhook is a webhook with the health of its endpoint.
type Webhook struct {
	ID             string          `json:"id"`
	Tenant         string          `json:"tenant"`
	Spec           WebhookSpec     `json:"spec"`
	Enabled        bool            `json:"enabled"`
	DisabledReason string          `json:"disabled_reason,omitempty"`
	Secrets        []WebhookSecret `json:"secrets"` // without the secrets themselves
	Health         WebhookHealth   `json:"health"`
	Pending        int64           `json:"pending"` // deliveries that wait
	Problem        string          `json:"problem,omitempty"`
	CreatedAt      time.Time       `json:"created_at"`
	UpdatedAt      time.Time       `json:"updated_at"`
}

// WebhookSecret tells of a signing secret.
type WebhookSecret struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // it was rotated
}

// WebhookHealth is what the attempts told of an endpoint.
type WebhookHealth struct {
	Breaker      string     `json:"circuit_breaker"` // closed, open, half_open
	OpenUntil    *time.Time `json:"open_until,omitempty"`
	HoldUntil    *time.Time `json:"hold_until,omitempty"` // by Retry-After
	Failures     int        `json:"failures"`             // in a row
	Successes    int        `json:"successes,omitempty"`
	FailingSince *time.Time `json:"failing_since,omitempty"`
	LastAttempt  *time.Time `json:"last_attempt_at,omitempty"`
	LastSuccess  *time.Time `json:"last_success_at,omitempty"`
	LastStatus   int        `json:"last_status,omitempty"`
	LastError    string     `json:"last_error,omitempty"`
}

// NewWebhook is a webhook and its newest signing secret, which is not shown again.
type NewWebhook struct {
	Secret  string  `json:"secret"`
	Webhook Webhook `json:"webhook"`
}

// Delivery is one event on its way to one endpoint. Its ID is the webhook-id of all
// its attempts.
type Delivery struct {
	ID         string            `json:"id"`
	Kind       string            `json:"type"`
	Event      int64             `json:"event_seq,omitempty"`
	JobID      string            `json:"job_id,omitempty"`
	Status     string            `json:"status"` // pending, delivered, dead
	Attempts   int               `json:"attempts"`
	NextAt     *time.Time        `json:"next_attempt_at,omitempty"`
	CreatedAt  time.Time         `json:"created_at"`
	FinishedAt *time.Time        `json:"finished_at,omitempty"`
	LastStatus int               `json:"last_status,omitempty"`
	LastError  string            `json:"last_error,omitempty"`
	Payload    string            `json:"payload,omitempty"` // not in lists
	Log        []DeliveryAttempt `json:"log,omitempty"`     // not in lists
}

// DeliveryAttempt is one attempt of a delivery.
type DeliveryAttempt struct {
	Number   int       `json:"number"`
	At       time.Time `json:"at"`
	Duration float64   `json:"duration_seconds"`
	Status   int       `json:"status,omitempty"`
	Error    string    `json:"error,omitempty"`
}

// pages yields the items of all pages. An error ends it.
func pages[T any](ctx context.Context, c *Client, path string, query url.Values) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for {
			var page struct {
				Items      []T    `json:"items"`
				NextCursor string `json:"next_cursor"`
			}
			if err := c.do(ctx, get(path, query, &page)); err != nil {
				var none T
				yield(none, err)
				return
			}
			for _, v := range page.Items {
				if !yield(v, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}

// Webhooks yields all webhooks, by name. An error ends it.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[Webhook, error] {
	return pages[Webhook](ctx, c, "/webhooks", url.Values{})
}

// Webhook returns a webhook by id or name.
func (c *Client) Webhook(ctx context.Context, ref string) (Webhook, error) {
	var out Webhook
	return out, c.do(ctx, get(webhookPath(ref), nil, &out))
}

// CreateWebhook creates a webhook.
func (c *Client) CreateWebhook(ctx context.Context, s WebhookSpec) (NewWebhook, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return NewWebhook{}, fmt.Errorf("encode the webhook: %w", err)
	}
	return c.CreateWebhookFile(ctx, body, "application/json")
}

// CreateWebhookFile creates the webhook of a text, as application/json or
// application/yaml.
func (c *Client) CreateWebhookFile(ctx context.Context, text []byte, contentType string) (NewWebhook, error) {
	var out NewWebhook
	return out, c.do(ctx, call{
		method: http.MethodPost, path: "/webhooks", body: text, out: &out, header: http.Header{"Content-Type": {contentType}},
	})
}

// SetWebhook replaces the definition of a webhook; an empty URL stays.
func (c *Client) SetWebhook(ctx context.Context, ref string, s WebhookSpec) (Webhook, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return Webhook{}, fmt.Errorf("encode the webhook: %w", err)
	}
	return c.SetWebhookFile(ctx, ref, body, "application/json")
}

// SetWebhookFile is SetWebhook with a text.
func (c *Client) SetWebhookFile(ctx context.Context, ref string, text []byte, contentType string) (Webhook, error) {
	var out Webhook
	return out, c.do(ctx, call{
		method: http.MethodPut, path: webhookPath(ref), body: text, out: &out, header: http.Header{"Content-Type": {contentType}},
	})
}

// DeleteWebhook deletes a webhook and what waits.
func (c *Client) DeleteWebhook(ctx context.Context, ref string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: webhookPath(ref)})
}

// EnableWebhook lets a webhook send again. It may be repeated.
func (c *Client) EnableWebhook(ctx context.Context, ref string) (Webhook, error) {
	var out Webhook
	return out, c.do(ctx, call{method: http.MethodPost, path: webhookPath(ref, "enable"), out: &out})
}

// DisableWebhook stops a webhook. It may be repeated.
func (c *Client) DisableWebhook(ctx context.Context, ref string) (Webhook, error) {
	var out Webhook
	return out, c.do(ctx, call{method: http.MethodPost, path: webhookPath(ref, "disable"), out: &out})
}

// RotateWebhook makes a new signing secret; the others sign, too, until the end of
// the overlap (0: they end at once).
func (c *Client) RotateWebhook(ctx context.Context, ref string, overlap time.Duration) (NewWebhook, error) {
	var out NewWebhook
	return out, c.post(ctx, webhookPath(ref, "rotate"), struct {
		Overlap string `json:"overlap"`
	}{overlap.String()}, &out)
}

// TestWebhook sends a test; ask for the delivery to see what came of it.
func (c *Client) TestWebhook(ctx context.Context, ref string) (Delivery, error) {
	var out Delivery
	return out, c.do(ctx, call{method: http.MethodPost, path: webhookPath(ref, "test"), out: &out})
}

// ReplayWebhook sends the events since a time again, with the ids that they had, and
// returns how many there are.
func (c *Client) ReplayWebhook(ctx context.Context, ref string, since time.Time) (int, error) {
	var out struct {
		Deliveries int `json:"deliveries"`
	}
	return out.Deliveries, c.post(ctx, webhookPath(ref, "replay"), struct {
		Since time.Time `json:"since"`
	}{since}, &out)
}

// Deliveries yields the deliveries of a webhook with a status (empty: all), the
// latest first. An error ends it.
func (c *Client) Deliveries(ctx context.Context, ref, status string) iter.Seq2[Delivery, error] {
	query := url.Values{}
	if status != "" {
		query.Set("status", status)
	}
	return pages[Delivery](ctx, c, webhookPath(ref, "deliveries"), query)
}

// Delivery returns a delivery with its payload and its attempts.
func (c *Client) Delivery(ctx context.Context, ref, id string) (Delivery, error) {
	var out Delivery
	return out, c.do(ctx, get(webhookPath(ref, "deliveries", url.PathEscape(id)), nil, &out))
}

// ResendDelivery sends a delivery again, with the same id.
func (c *Client) ResendDelivery(ctx context.Context, ref, id string) (Delivery, error) {
	var out Delivery
	return out, c.do(ctx, call{method: http.MethodPost, path: webhookPath(ref, "deliveries", url.PathEscape(id), "resend"), out: &out})
}

// webhookPath makes the path of a webhook; whatever ref holds stays one segment.
func webhookPath(ref string, more ...string) string {
	return "/webhooks/" + strings.Join(append([]string{url.PathEscape(ref)}, more...), "/")
}

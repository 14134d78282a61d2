package service

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// Limits of webhooks.
const (
	MaxWebhooks    = 50       // of one tenant
	maxWebhookSpec = 64 << 10 // bytes of one definition, as JSON
	maxHookOverlap = 7 * 24 * time.Hour
)

// WebhookPage is one page of webhooks, by name.
type WebhookPage struct {
	Items      []webhook.Webhook
	NextCursor string // empty: the last page
}

// NewWebhook is a webhook and, this once, its newest signing secret.
type NewWebhook struct {
	Webhook webhook.Webhook
	Secret  secret.Secret
}

// CreateWebhook stores a webhook. Kinds: Unprocessable, Conflict (the name is
// taken), Exhausted.
func (s *Service) CreateWebhook(ctx context.Context, p tenant.Principal, d webhook.Definition) (NewWebhook, error) {
	scope, err := p.Scope(tenant.WebhookWrite)
	if err != nil {
		return NewWebhook{}, err
	}
	if err := s.canSeal(); err != nil {
		return NewWebhook{}, err
	}
	d = d.WithDefaults()
	if err := checkWebhook(&d, d.URL); err != nil {
		return NewWebhook{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return NewWebhook{}, fmt.Errorf("make an id: %w", err)
	}
	now := s.now()
	key, err := webhook.NewKey(now)
	if err != nil {
		return NewWebhook{}, err
	}
	w := webhook.Webhook{
		ID: id.String(), Tenant: string(scope.Tenant()), Spec: d, Enabled: true, Health: webhook.Health{Breaker: webhook.Closed}, CreatedAt: now, UpdatedAt: now,
	}
	private := webhook.Private{URL: d.URL, Keys: []webhook.Key{key}}
	w.Spec.URL = job.ShownURL(d.URL)
	if err := w.Seal(s.deps.Seal, private); err != nil {
		return NewWebhook{}, err
	}
	shown := shownWebhook{Webhook: w, Secret: key.Text().Reveal()}
	q := request{operation: "create_webhook", of: d, secret: true}
	_, err = update(ctx, s, p, scope, q, &shown, func(tx Tx) error {
		err := tx.InsertWebhook(&w)
		shown.Webhook = w
		return err
	})
	return shown.open(), err
}

// shownWebhook is a webhook with a new secret as the answer is remembered: sealed.
type shownWebhook struct {
	Webhook webhook.Webhook
	Secret  string
}

func (w *shownWebhook) open() NewWebhook {
	return NewWebhook{Webhook: w.Webhook, Secret: secret.New(w.Secret)}
}

func (s *Service) canSeal() error {
	if s.deps.Seal == nil {
		return fault.New(fault.Unavailable, "HX-HOOK-036", "there is no key for secrets here", "run the daemon with its state directory")
	}
	return nil
}

// sealURLs hides the URLs of a job's webhooks from who reads the store.
func (s *Service) sealURLs(scope tenant.Scope, spec job.Spec) job.Spec {
	if s.deps.Seal == nil || len(spec.Jobs)+len(spec.Finally) == 0 {
		return spec
	}
	return spec.MapURLs(func(text string) string { return webhook.SealURL(s.deps.Seal, string(scope.Tenant()), text) })
}

func checkWebhook(d *webhook.Definition, url string) error {
	if err := webhook.CheckURL(url); err != nil {
		return err
	}
	if err := d.Validate(); err != nil {
		return err
	}
	if text, err := json.Marshal(d); err != nil || len(text) > maxWebhookSpec {
		return fault.Newf(fault.Unprocessable, "HX-HOOK-024", "shorten it", "the webhook is longer than %d bytes", maxWebhookSpec)
	}
	return nil
}

// SetWebhook replaces the definition of a webhook. A URL that is absent, or as it is
// shown, stays. The endpoint starts afresh, with a closed circuit breaker.
func (s *Service) SetWebhook(ctx context.Context, p tenant.Principal, ref string, d webhook.Definition) (webhook.Webhook, error) {
	d = d.WithDefaults()
	q := request{operation: "set_webhook", of: []any{ref, d}}
	return s.changeWebhook(ctx, p, ref, q, func(w *webhook.Webhook) (WebhookChange, string, error) {
		private, err := s.open(w)
		if err != nil {
			return "", "", err
		}
		if d.URL != "" && d.URL != w.Spec.URL {
			private.URL = d.URL
		}
		if err := checkWebhook(&d, private.URL); err != nil {
			return "", "", err
		}
		w.Spec, w.Health = d, webhook.Health{Breaker: webhook.Closed, LastAttempt: w.Health.LastAttempt, LastSuccess: w.Health.LastSuccess}
		w.Spec.URL = job.ShownURL(private.URL)
		return WebhookChanged, d.Name, w.Seal(s.deps.Seal, private)
	})
}

// open reads the secrets of a webhook. Kinds Unavailable, Corrupt; Conflict if
// another node's key sealed them.
func (s *Service) open(w *webhook.Webhook) (webhook.Private, error) {
	if err := s.canSeal(); err != nil {
		return webhook.Private{}, err
	}
	if w.KeyID != s.deps.Seal.ID() {
		return webhook.Private{}, fault.New(fault.Conflict, "HX-HOOK-037", otherKey, "give all nodes the same secrets_key_file, or ask the node that made it")
	}
	return w.Open(s.deps.Seal)
}

const otherKey = "the secrets of the webhook were sealed with another key than this node has"

// EnableWebhook lets a webhook send again, what waits and events from now on. It is
// idempotent.
func (s *Service) EnableWebhook(ctx context.Context, p tenant.Principal, ref string) (webhook.Webhook, error) {
	return s.changeWebhook(ctx, p, ref, request{operation: "enable_webhook", of: ref}, func(w *webhook.Webhook) (WebhookChange, string, error) {
		if w.Enabled {
			return "", "", nil
		}
		w.Enabled, w.DisabledReason, w.Health = true, "", webhook.Health{Breaker: webhook.Closed}
		return WebhookEnabled, w.Spec.Name, nil
	})
}

// DisableWebhook stops a webhook. What waits is kept; events from now on are not for
// it. It is idempotent.
func (s *Service) DisableWebhook(ctx context.Context, p tenant.Principal, ref string) (webhook.Webhook, error) {
	return s.changeWebhook(ctx, p, ref, request{operation: "disable_webhook", of: ref}, func(w *webhook.Webhook) (WebhookChange, string, error) {
		if !w.Enabled {
			return "", "", nil
		}
		w.Enabled, w.DisabledReason = false, "somebody disabled it"
		return WebhookDisabled, w.Spec.Name + ": " + w.DisabledReason, nil
	})
}

// RotateWebhook makes a new signing secret. The others sign too until the end of
// the overlap. Kinds: NotFound, Unprocessable.
func (s *Service) RotateWebhook(ctx context.Context, p tenant.Principal, ref string, overlap time.Duration) (NewWebhook, error) {
	if overlap < 0 || overlap > maxHookOverlap {
		return NewWebhook{}, fault.New(fault.Unprocessable, "HX-HOOK-025", "the overlap is not between 0 and 168h", "leave it out for 24h")
	}
	key, err := webhook.NewKey(s.now())
	if err != nil {
		return NewWebhook{}, err
	}
	q := request{operation: "rotate_webhook", of: []any{ref, overlap}, secret: true}
	made, err := s.changeHook(ctx, p, ref, q, func(w *webhook.Webhook) (WebhookChange, string, error) {
		private, err := s.open(w)
		if err != nil {
			return "", "", err
		}
		private.Rotate(key, overlap)
		return WebhookRotated, w.Spec.Name, w.Seal(s.deps.Seal, private)
	}, key.Text())
	return made.open(), err
}

// changeWebhook lets fn change a webhook; no change, no event.
func (s *Service) changeWebhook(ctx context.Context, p tenant.Principal, ref string, q request,
	fn func(w *webhook.Webhook) (WebhookChange, string, error),
) (webhook.Webhook, error) {
	w, err := s.changeHook(ctx, p, ref, q, fn, secret.Secret{})
	return w.Webhook, err
}

// changeHook is changeWebhook with an answer that may show a secret.
func (s *Service) changeHook(ctx context.Context, p tenant.Principal, ref string, q request,
	fn func(w *webhook.Webhook) (WebhookChange, string, error), shows secret.Secret,
) (shown shownWebhook, err error) {
	scope, err := p.Scope(tenant.WebhookWrite)
	if err != nil {
		return shownWebhook{}, err
	}
	shown.Secret = shows.Reveal()
	change := func(o *tenant.Once) error {
		return s.store.Update(ctx, scope.Under(o), func(tx Tx) error {
			w, err := tx.Webhook(ref)
			if err != nil {
				return err
			}
			shown.Webhook = w
			change, why, err := fn(&w)
			if err != nil || change == "" {
				return err
			}
			w.UpdatedAt = s.now()
			err = tx.SaveWebhook(&w, change, why)
			shown.Webhook = w
			return err
		})
	}
	_, err = updateThen(ctx, s, p, q, &shown, change, func() (err error) {
		shown.Webhook, err = s.Webhook(ctx, p, shown.Webhook.ID) // with what waits
		return err
	})
	if err != nil {
		return shownWebhook{}, err
	}
	return shown, nil
}

// DeleteWebhook forgets a webhook and what waits. Kind NotFound.
func (s *Service) DeleteWebhook(ctx context.Context, p tenant.Principal, ref string) error {
	scope, err := p.Scope(tenant.WebhookWrite)
	if err != nil {
		return err
	}
	_, err = update(ctx, s, p, scope, request{operation: "delete_webhook", of: ref}, &nothing{}, func(tx Tx) error {
		w, err := tx.Webhook(ref)
		if err != nil {
			return err
		}
		return tx.DeleteWebhook(w.ID)
	})
	return err
}

// Webhook returns one webhook by id or name.
func (s *Service) Webhook(ctx context.Context, p tenant.Principal, ref string) (webhook.Webhook, error) {
	scope, err := p.Scope(tenant.WebhookRead)
	if err != nil {
		return webhook.Webhook{}, err
	}
	w, err := s.store.Reader(scope).Webhook(ctx, ref)
	return s.shownWebhook(w), err
}

// Webhooks returns one page of the tenant's webhooks. Kind Invalid for a limit or a
// cursor that is none.
func (s *Service) Webhooks(ctx context.Context, p tenant.Principal, limit int, cursor string) (WebhookPage, error) {
	scope, err := p.Scope(tenant.WebhookRead)
	if err != nil {
		return WebhookPage{}, err
	}
	limit, err = webhookLimit(limit)
	if err != nil {
		return WebhookPage{}, err
	}
	after, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return WebhookPage{}, errWebhookCursor()
	}
	all, err := s.store.Reader(scope).Webhooks(ctx, string(after), limit+1)
	if err != nil {
		return WebhookPage{}, err
	}
	page := WebhookPage{Items: all}
	if len(all) > limit {
		page.Items = all[:limit]
		page.NextCursor = base64.RawURLEncoding.EncodeToString([]byte(all[limit-1].Spec.Name))
	}
	for i := range page.Items {
		page.Items[i] = s.shownWebhook(page.Items[i])
	}
	return page, nil
}

func webhookLimit(limit int) (int, error) {
	if limit == 0 {
		return DefaultLimit, nil
	}
	if limit < 1 || limit > MaxSchedulePage {
		return 0, fault.Newf(fault.Invalid, "HX-HOOK-026", "leave it out for the default", "limit must be between 1 and %d", MaxSchedulePage)
	}
	return limit, nil
}

func errWebhookCursor() error {
	return fault.New(fault.Invalid, "HX-HOOK-027", "the cursor is none that this API gave out", "start without a cursor")
}

// shownWebhook adds what only this node knows.
func (s *Service) shownWebhook(w webhook.Webhook) webhook.Webhook {
	if w.KeyID != "" && (s.deps.Seal == nil || w.KeyID != s.deps.Seal.ID()) {
		w.Problem = otherKey
	}
	return w
}

// seqCursor reads a cursor that is a place in a list; 0 for none.
func seqCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	n, err := strconv.ParseInt(cursor, 10, 64)
	if err != nil || n < 1 {
		return 0, errWebhookCursor()
	}
	return n, nil
}

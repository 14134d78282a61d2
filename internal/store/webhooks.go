package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// webhookColumns are in the order of webhookRow.all.
const webhookColumns = `id, tenant, spec, sealed, key_id, secrets, enabled, reason, since, health, epoch, node, lease_until, created_at, updated_at, revision`

// webhookRow is a webhook as the table has it.
type webhookRow struct {
	webhook.Webhook
	since, epoch          int64
	node                  string
	lease                 sql.NullInt64
	enabled               int
	created, updated      int64
	spec, secrets, health []byte
}

func (r *webhookRow) all() []any {
	return []any{
		&r.ID, &r.Tenant, &r.spec, &r.Box, &r.KeyID, &r.secrets, &r.enabled, &r.DisabledReason, &r.since, &r.health,
		&r.epoch, &r.node, &r.lease, &r.created, &r.updated, &r.Revision,
	}
}

// decode fills the webhook from what was scanned.
func (r *webhookRow) decode() error {
	for _, f := range []struct {
		from []byte
		to   any
	}{{r.spec, &r.Spec}, {r.secrets, &r.Secrets}, {r.health, &r.Health}} {
		if err := json.Unmarshal(f.from, f.to); err != nil {
			return fmt.Errorf("decode webhook %s: %w", r.ID, err)
		}
	}
	r.Enabled = r.enabled != 0
	r.CreatedAt, r.UpdatedAt = time.UnixMicro(r.created).UTC(), time.UnixMicro(r.updated).UTC()
	return nil
}

// webhook reads a webhook and holds off who else would change it.
func (t *tx) webhook(condition string, args ...any) (r webhookRow, found bool, err error) {
	found, err = t.row(`SELECT `+webhookColumns+` FROM webhooks WHERE `+condition+` /*! FOR UPDATE */`, args, r.all()...)
	if err != nil || !found {
		return r, found, err
	}
	return r, true, r.decode()
}

// Webhook implements service.WebhookTx.
func (t *scopedTx) Webhook(ref string) (webhook.Webhook, error) {
	r, found, err := t.tx.webhook(`tenant = $1 AND (id = $2 OR name = $2)`, string(t.scope.Tenant()), ref)
	if err == nil && !found {
		err = errNoWebhook(ref)
	}
	return r.Webhook, err
}

// InsertWebhook implements service.WebhookTx.
func (t *scopedTx) InsertWebhook(w *webhook.Webhook) error {
	if w.Tenant != string(t.scope.Tenant()) {
		return fault.New(fault.Denied, "HX-STORE-008", "the webhook belongs to another tenant", "")
	}
	if a, err := t.tx.account(t.scope.Tenant()); err != nil {
		return err
	} else if a.State != tenant.Active {
		return errDraining(a.ID)
	}
	var n int
	if _, err := t.tx.row(`SELECT COUNT(*) FROM webhooks WHERE tenant = $1`, []any{w.Tenant}, &n); err != nil {
		return err
	}
	if n >= service.MaxWebhooks {
		return fault.Newf(fault.Exhausted, "HX-HOOK-030", "delete one that is no longer needed", "there are %d webhooks already", n)
	}
	spec, secrets, health, err := encodeWebhook(w)
	if err != nil {
		return err
	}
	since, err := t.tx.logEnd()
	if err != nil {
		return err
	}
	w.Revision = 1
	added, err := t.tx.exec(`INSERT INTO webhooks (id, tenant, name, spec, sealed, key_id, secrets, enabled, reason, since, breaker, failing, health,
		created_at, updated_at, revision) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16) ON CONFLICT (tenant, name) DO NOTHING`,
		w.ID, w.Tenant, w.Spec.Name, spec, w.Box, w.KeyID, secrets, truth(w.Enabled), w.DisabledReason, since,
		string(w.Health.Breaker), truth(w.Health.Failures > 0), health, w.CreatedAt.UnixMicro(), w.UpdatedAt.UnixMicro(), w.Revision)
	if err != nil {
		return err
	}
	if added == 0 {
		return errWebhookName(w.Spec.Name)
	}
	return t.webhookEvent(w, service.WebhookCreated, w.Spec.Name)
}

func encodeWebhook(w *webhook.Webhook) (spec, secrets, health string, err error) {
	if spec, err = encode(w.Spec); err != nil {
		return "", "", "", err
	}
	if secrets, err = encode(w.Secrets); err != nil {
		return "", "", "", err
	}
	health, err = encode(w.Health)
	return spec, secrets, health, err
}

// SaveWebhook implements service.WebhookTx.
func (t *scopedTx) SaveWebhook(w *webhook.Webhook, change service.WebhookChange, why string) error {
	var taken int
	found, err := t.tx.row(`SELECT 1 FROM webhooks WHERE tenant = $1 AND name = $2 AND id <> $3`, []any{w.Tenant, w.Spec.Name, w.ID}, &taken)
	if err != nil {
		return err
	}
	if found {
		return errWebhookName(w.Spec.Name)
	}
	if err := t.tx.saveWebhook(w, string(t.scope.Tenant())); err != nil {
		return err
	}
	return t.webhookEvent(w, change, why)
}

// saveWebhook writes what a user, or too many failures, may have changed.
func (t *tx) saveWebhook(w *webhook.Webhook, tenantID string) error {
	spec, secrets, health, err := encodeWebhook(w)
	if err != nil {
		return err
	}
	since, err := t.logEnd()
	if err != nil {
		return err
	}
	n, err := t.exec(`UPDATE webhooks SET name = $1, spec = $2, sealed = $3, key_id = $4, secrets = $5, reason = $6,
		since = CASE WHEN enabled = 0 AND $7 = 1 THEN $8 ELSE since END, enabled = $7,
		breaker = $9, failing = $10, health = $11, updated_at = $12, revision = revision + 1
		WHERE id = $13 AND tenant = $14 AND revision = $15`,
		w.Spec.Name, spec, w.Box, w.KeyID, secrets, w.DisabledReason, truth(w.Enabled), since,
		string(w.Health.Breaker), truth(w.Health.Failures > 0), health, w.UpdatedAt.UnixMicro(), w.ID, tenantID, w.Revision)
	if err != nil {
		return err
	}
	if n != 1 {
		return fault.New(fault.Conflict, "HX-HOOK-031", "the webhook was changed at the same moment", "look at it and try again")
	}
	w.Revision++
	return t.rearm(w)
}

// rearm works out when a webhook has something to do.
func (t *tx) rearm(w *webhook.Webhook) error {
	var next int64
	found, err := t.row(`SELECT next_at FROM deliveries WHERE webhook_id = $1 AND state = 'pending' ORDER BY next_at LIMIT 1`, []any{w.ID}, &next)
	if err != nil {
		return err
	}
	if until := w.Health.NotBefore(); !until.IsZero() {
		next = max(next, until.UnixMicro())
	}
	_, err = t.exec(`UPDATE webhooks SET due = $1 WHERE id = $2`, sql.NullInt64{Int64: next, Valid: found && w.Enabled}, w.ID)
	t.touch(event.Deliveries)
	return err
}

// DeleteWebhook implements service.WebhookTx.
func (t *scopedTx) DeleteWebhook(id string) error {
	w, err := t.Webhook(id)
	if err != nil {
		return err
	}
	if err := t.tx.dropWebhooks(`id = $1`, w.ID); err != nil {
		return err
	}
	return t.webhookEvent(&w, service.WebhookDeleted, w.Spec.Name)
}

// dropWebhooks deletes webhooks with all that belongs to them.
func (t *tx) dropWebhooks(which string, arg any) error {
	for _, q := range []string{
		`DELETE FROM delivery_attempts WHERE delivery_id IN (SELECT id FROM deliveries WHERE webhook_id IN (SELECT id FROM webhooks WHERE ` + which + `))`,
		`DELETE FROM deliveries WHERE webhook_id IN (SELECT id FROM webhooks WHERE ` + which + `)`,
		`DELETE FROM webhooks WHERE ` + which,
	} {
		if _, err := t.exec(q, arg); err != nil {
			return err
		}
	}
	return nil
}

func (t *scopedTx) webhookEvent(w *webhook.Webhook, change service.WebhookChange, why string) error {
	return t.tx.append(event.OfWebhook(w.Tenant, w.ID, string(change), why, t.scope.Actor(), t.tx.now))
}

// TestWebhook implements service.WebhookTx. It goes before what waits.
func (t *scopedTx) TestWebhook(w *webhook.Webhook, d webhook.Delivery) error {
	if _, err := t.tx.insertDelivery(w, d, 0); err != nil {
		return err
	}
	if w.Health.Breaker == webhook.Open {
		now := t.tx.now
		w.Health.OpenUntil = &now
		if err := t.tx.saveHealth(w); err != nil {
			return err
		}
	}
	if err := t.tx.rearm(w); err != nil {
		return err
	}
	return t.webhookEvent(w, service.WebhookTested, d.ID)
}

// ResendDelivery implements service.WebhookTx.
func (t *scopedTx) ResendDelivery(w *webhook.Webhook, delivery string) (webhook.Delivery, error) {
	n, err := t.tx.exec(`UPDATE deliveries SET state = 'pending', tries = 0, next_at = $1, finished_at = NULL WHERE id = $2 AND webhook_id = $3`,
		t.tx.now.UnixMicro(), delivery, w.ID)
	if err == nil && n == 0 {
		err = errNoDelivery(delivery)
	}
	if err != nil {
		return webhook.Delivery{}, err
	}
	if err := t.tx.rearm(w); err != nil {
		return webhook.Delivery{}, err
	}
	var r deliveryRow
	if _, err := t.tx.row(`SELECT `+deliveryColumns+` FROM deliveries WHERE id = $1`, []any{delivery}, r.all()...); err != nil {
		return webhook.Delivery{}, err
	}
	return r.decode(), t.webhookEvent(w, service.WebhookResent, delivery)
}

// ReplayEvents implements service.WebhookTx.
func (t *scopedTx) ReplayEvents(w *webhook.Webhook, events []event.Event) (n int, err error) {
	for _, e := range events {
		if e.Tenant != w.Tenant || !w.Wants(e) {
			continue
		}
		made, err := t.tx.deliver(w, e, true)
		if err != nil {
			return n, err
		}
		if made {
			n++
		}
	}
	if n == 0 {
		return 0, nil
	}
	return n, t.tx.rearm(w)
}

// WebhookReplayed implements service.WebhookTx.
func (t *scopedTx) WebhookReplayed(w *webhook.Webhook, why string) error {
	return t.webhookEvent(w, service.WebhookReplayed, why)
}

func (t *tx) saveHealth(w *webhook.Webhook) error {
	health, err := encode(w.Health)
	if err != nil {
		return err
	}
	_, err = t.exec(`UPDATE webhooks SET breaker = $1, failing = $2, health = $3 WHERE id = $4`,
		string(w.Health.Breaker), truth(w.Health.Failures > 0), health, w.ID)
	return err
}

func errNoWebhook(ref string) error {
	return fault.Newf(fault.NotFound, "HX-HOOK-032", "list the webhooks to see their names", "there is no webhook %.100q", ref)
}

func errNoDelivery(id string) error {
	return fault.Newf(fault.NotFound, "HX-HOOK-033", "list the deliveries of the webhook; old ones are forgotten", "there is no delivery %.100q", id)
}

func errWebhookName(name string) error {
	return fault.Newf(fault.Conflict, "HX-HOOK-034", "use another name, or change that one", "there is a webhook %q already", name)
}

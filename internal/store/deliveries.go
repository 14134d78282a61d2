package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// maxWaiting is how many deliveries of one webhook may wait; what comes then is
// dead at once, and can be replayed.
const maxWaiting = 20_000

// keepAttempts is how many attempts of a delivery are remembered.
const keepAttempts = 100

// deliveryColumns are in the order of deliveryRow.all.
const deliveryColumns = `seq, id, kind, event_seq, job_id, state, tries, attempts, next_at, created_at, finished_at, last_status, last_error,
	payload, content_type, traceparent`

// deliveryRow is a delivery as the table has it.
type deliveryRow struct {
	webhook.Delivery
	event, finished sql.NullInt64
	next, created   int64
}

func (r *deliveryRow) all() []any {
	return []any{
		&r.Seq, &r.ID, &r.Kind, &r.event, &r.JobID, &r.State, &r.Tries, &r.Attempts, &r.next, &r.created, &r.finished, &r.LastStatus, &r.LastError,
		&r.Payload, &r.ContentType, &r.TraceParent,
	}
}

func (r *deliveryRow) decode() webhook.Delivery {
	r.Event, r.Once = r.event.Int64, !r.event.Valid
	r.CreatedAt, r.FinishedAt = time.UnixMicro(r.created).UTC(), fromMicros(r.finished)
	if r.State == webhook.Pending {
		next := time.UnixMicro(max(r.next, r.created)).UTC() // a test waits for nothing
		r.NextAt = &next
	}
	return r.Delivery
}

// deliver makes the delivery of an event that a webhook wants, if it wants the
// job. With again one that has ended is sent once more.
func (t *tx) deliver(w *webhook.Webhook, e event.Event, again bool) (made bool, err error) {
	j, err := t.jobOf(e)
	if err != nil {
		return false, err
	}
	var spec *job.Spec
	if j != nil {
		spec = &j.Spec
	}
	if !w.Spec.WantsJob(spec) {
		return false, nil
	}
	d := webhook.Delivery{
		ID: webhook.DeliveryID(w.ID, e.Seq), Kind: string(e.Kind), Event: e.Seq, JobID: e.JobID, State: webhook.Pending, CreatedAt: t.now,
	}
	if e.Data.Origin != nil {
		d.TraceParent = e.Data.Origin.TraceParent
	}
	d.Payload, d.ContentType, err = w.Spec.Render(d.ID, webhook.NewMessage(e, j))
	if fault.Is(err, fault.Unprocessable) {
		d.State, d.LastError, err = webhook.Dead, webhook.BadPayload, nil
	}
	if err != nil {
		return false, err
	}
	if again {
		n, err := t.exec(`UPDATE deliveries SET state = $1, last_error = $2, payload = $3, content_type = $4, tries = 0, next_at = $5,
			finished_at = $6 WHERE id = $7 AND state <> 'pending'`,
			string(d.State), string(d.LastError), d.Payload, d.ContentType, t.now.UnixMicro(), t.ended(d.State), d.ID)
		if err != nil || n > 0 {
			return n > 0, err
		}
	}
	return t.insertDelivery(w, d, t.now.UnixMicro())
}

// jobOf reads what a message says of an event's job; nil: there is none any more.
func (t *tx) jobOf(e event.Event) (*job.Job, error) {
	if e.JobID == "" {
		return nil, nil //nolint:nilnil // documented
	}
	var spec, artifacts []byte
	found, err := t.row(`SELECT spec, artifacts FROM jobs WHERE id = $1`, []any{e.JobID}, &spec, &artifacts)
	if err != nil || !found {
		return nil, err
	}
	j := &job.Job{ID: e.JobID}
	err = json.Unmarshal(spec, &j.Spec)
	if err == nil && artifacts != nil {
		err = json.Unmarshal(artifacts, &j.Artifacts)
	}
	if err != nil {
		return nil, fmt.Errorf("decode job %s: %w", e.JobID, err)
	}
	return j, nil
}

// ended is the end of a delivery that is over from its beginning.
func (t *tx) ended(s webhook.State) sql.NullInt64 {
	return sql.NullInt64{Int64: t.now.UnixMicro(), Valid: s != webhook.Pending}
}

// insertDelivery stores a new delivery; made is false if it is there already.
func (t *tx) insertDelivery(w *webhook.Webhook, d webhook.Delivery, next int64) (made bool, err error) {
	n, err := t.exec(`INSERT INTO deliveries (id, webhook_id, kind, event_seq, job_id, state, next_at, created_at, finished_at, last_error,
		payload, content_type, traceparent) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) ON CONFLICT (id) DO NOTHING`,
		d.ID, w.ID, d.Kind, sql.NullInt64{Int64: d.Event, Valid: d.Event != 0}, d.JobID, string(d.State), next, t.now.UnixMicro(),
		t.ended(d.State), string(d.LastError), d.Payload, d.ContentType, d.TraceParent)
	return n > 0, err
}

// waiting counts the deliveries of a webhook that wait, up to the bound.
func (t *tx) waiting(id string) (n int, err error) {
	_, err = t.row(`SELECT COUNT(*) FROM (SELECT 1 FROM deliveries WHERE webhook_id = $1 AND state = 'pending' LIMIT $2) AS part`,
		[]any{id, maxWaiting}, &n)
	return n, err
}

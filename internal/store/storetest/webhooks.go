package storetest

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

const hookKey = "key"

// hook stores a webhook for all events of jobs.
func (w *world) hook(s tenant.Scope, name string, edit ...func(*webhook.Definition)) webhook.Webhook {
	w.Helper()
	if _, err := w.Tenant(w.ctx, s); fault.Is(err, fault.NotFound) {
		w.must(w.CreateTenant(w.ctx, w.platform(), tenant.Account{ID: s.Tenant(), Name: "x", State: tenant.Active, Limits: tenant.Limits{Weight: 1}, CreatedAt: w.now()}))
	}
	d := webhook.Definition{Name: name, URL: "https://example.com/[hidden]", Events: []string{"job.*"}}
	for _, e := range edit {
		e(&d)
	}
	h := webhook.Webhook{
		ID: "id-" + string(s.Tenant()) + "-" + name, Tenant: string(s.Tenant()), Spec: d.WithDefaults(), Enabled: true, Box: []byte{0, 1, 255}, KeyID: hookKey,
		Secrets: []webhook.SecretInfo{{ID: "s", CreatedAt: w.now()}}, Health: webhook.Health{Breaker: webhook.Closed}, CreatedAt: w.now(), UpdatedAt: w.now(),
	}
	w.must(w.Update(w.ctx, s, func(tx service.Tx) error { return tx.InsertWebhook(&h) }))
	return h
}

// onHook runs fn in an update of ours and returns its error.
func (w *world) onHook(ref string, fn func(tx service.Tx, h *webhook.Webhook) error) error {
	return w.Update(w.ctx, w.ours, func(tx service.Tx) error {
		h, err := tx.Webhook(ref)
		if err != nil {
			return err
		}
		return fn(tx, &h)
	})
}

func (w *world) hooked(ref string) webhook.Webhook {
	w.Helper()
	h, err := w.Reader(w.ours).Webhook(w.ctx, ref)
	w.must(err)
	return h
}

func (w *world) relay() {
	w.Helper()
	_, err := w.Sequence(w.ctx, 1000)
	w.must(err)
	for more := true; more; {
		var err error
		more, err = w.RelayEvents(w.ctx, 10)
		w.must(err)
	}
}

func (w *world) deliveries(id string, state webhook.State) []webhook.Delivery {
	w.Helper()
	all, err := w.Reader(w.ours).Deliveries(w.ctx, id, state, 0, 1000)
	w.must(err)
	return all
}

func (w *world) turns(node string, failing bool) []outbox.Turn {
	w.Helper()
	turns, err := w.ClaimTurns(w.ctx, outbox.Claim{Node: node, Key: hookKey, Failing: failing, Limit: 10})
	w.must(err)
	return turns
}

// turn takes the one endpoint that is due.
func (w *world) turn(failing bool) outbox.Turn {
	w.Helper()
	turns := w.turns("a", failing)
	if len(turns) != 1 {
		w.Fatalf("%d turns, want 1", len(turns))
	}
	return turns[0]
}

// settle ends a turn in which all attempts had one outcome.
func (w *world) settle(t outbox.Turn, o webhook.Outcome) outbox.Settled {
	w.Helper()
	s, err := w.SettleTurn(w.ctx, t, w.results(t, o))
	w.must(err)
	return s
}

func (w *world) results(t outbox.Turn, o webhook.Outcome) (results []outbox.Result) {
	for _, d := range t.Deliveries {
		results = append(results, outbox.Result{
			ID: d.ID, At: w.now(), Took: 1500 * time.Millisecond, Outcome: o, Verdict: t.Webhook.Spec.Judge(d.Tries+1, d.Once, o, 0.5),
		})
	}
	return results
}

var (
	taken  = webhook.Outcome{Status: 204}
	broken = webhook.Outcome{Status: 503, Class: webhook.Refused}
)

func testWebhooks(w *world) {
	a := w.hook(w.ours, "a")
	w.hook(w.theirs, "a")
	w.hook(w.ours, "b")
	r := w.Reader(w.ours)
	for _, ref := range []string{"a", a.ID} {
		if got := w.hooked(ref); !reflect.DeepEqual(got, a) {
			w.Fatalf("stored %+v\nread   %+v", a, got)
		}
	}
	rest, err := r.Webhooks(w.ctx, "a", 10)
	w.must(err)
	if len(rest) != 1 || rest[0].Spec.Name != "b" {
		w.Errorf("%+v", rest)
	}
	twin := a
	twin.ID = "twin"
	w.wantKind(w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.InsertWebhook(&twin) }), fault.Conflict)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error { return tx.InsertWebhook(&twin) }), fault.Denied)
	w.wantKind(w.onHook("b", func(tx service.Tx, h *webhook.Webhook) error {
		h.Spec.Name = "a"
		return tx.SaveWebhook(h, service.WebhookChanged, "")
	}), fault.Conflict)
	w.must(w.onHook("a", func(tx service.Tx, h *webhook.Webhook) error {
		h.Enabled, h.DisabledReason, h.Box, h.Spec.Description = false, "why", []byte{9}, "ü"
		return tx.SaveWebhook(h, service.WebhookDisabled, "a")
	}))
	got := w.hooked("a")
	if got.Enabled || got.DisabledReason != "why" || string(got.Box) != "\t" || got.Spec.Description != "ü" || got.Revision != 2 {
		w.Errorf("%+v", got)
	}
	w.wantKind(w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.SaveWebhook(&a, service.WebhookChanged, "") }), fault.Conflict)

	_, err = w.Reader(w.theirs).Webhook(w.ctx, a.ID)
	w.wantKind(err, fault.NotFound)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error { return tx.DeleteWebhook(a.ID) }), fault.NotFound)
	w.wantKind(w.Update(w.ctx, w.theirs, func(tx service.Tx) error { return tx.SaveWebhook(&got, service.WebhookChanged, "") }), fault.Conflict)
	w.must(w.onHook("a", func(tx service.Tx, h *webhook.Webhook) error { return tx.DeleteWebhook(h.ID) }))
	_, err = r.Webhook(w.ctx, "a")
	w.wantKind(err, fault.NotFound)
	events, err := r.EventsSince(w.ctx, w.now(), 0, 100)
	w.must(err)
	var kinds []event.Kind
	for _, e := range events {
		if strings.HasPrefix(string(e.Kind), "webhook.") {
			kinds = append(kinds, e.Kind)
		}
	}
	if want := []event.Kind{"webhook.created", "webhook.created", "webhook.disabled", "webhook.deleted"}; !slices.Equal(kinds, want) {
		w.Errorf("%v, want %v", kinds, want)
	}
}

func testRelay(w *world) {
	w.submit()
	all := w.hook(w.ours, "all")
	narrow := w.hook(w.ours, "narrow", func(d *webhook.Definition) {
		d.Events, d.VMs, d.Labels = []string{"job.cancelled"}, []string{"/DC/vm/web-*"}, map[string]string{"team": "web"}
	})
	theirs := w.hook(w.theirs, "all")
	web := w.submit(func(s *job.Spec) { s.VMPath, s.Labels = "/DC/vm/web-01", map[string]string{"team": "web"} })
	db := w.submit(func(s *job.Spec) { s.VMPath = "/DC/vm/db-01" })
	for _, j := range []job.Job{web, db} {
		w.cancel(j.ID, "")
	}
	wake, stop := w.Watch(event.Deliveries)
	defer stop()
	w.relay()
	w.wantWake(wake)
	w.relay()
	seen := map[string]bool{}
	for _, d := range w.deliveries(all.ID, "") {
		if d.State != webhook.Pending || d.ID != webhook.DeliveryID(all.ID, d.Event) || d.NextAt == nil {
			w.Errorf("%+v", d)
		}
		seen[d.JobID+" "+d.Kind] = true
	}
	if len(seen) != 4 || !seen[web.ID+" job.submitted"] || !seen[db.ID+" job.cancelled"] {
		w.Errorf("%v", seen)
	}
	if got := w.deliveries(narrow.ID, ""); len(got) != 1 || got[0].JobID != web.ID || got[0].Kind != "job.cancelled" {
		w.Errorf("%+v", got)
	}
	if got, err := w.Reader(w.theirs).Deliveries(w.ctx, theirs.ID, "", 0, 10); err != nil || len(got) != 0 {
		w.Errorf("%v %v", got, err)
	}
	if got, err := w.Reader(w.theirs).Deliveries(w.ctx, all.ID, "", 0, 10); err != nil || len(got) != 0 {
		w.Errorf("another tenant sees %v %v", got, err)
	}
	_, err := w.Reader(w.theirs).Delivery(w.ctx, all.ID, webhook.DeliveryID(all.ID, w.deliveries(all.ID, "")[0].Event))
	w.wantKind(err, fault.NotFound)

	// What happens while it is disabled is not for it.
	set := func(enabled bool, change service.WebhookChange) {
		w.must(w.onHook("all", func(tx service.Tx, h *webhook.Webhook) error {
			h.Enabled = enabled
			return tx.SaveWebhook(h, change, "")
		}))
	}
	set(false, service.WebhookDisabled)
	w.submit()
	set(true, service.WebhookEnabled)
	w.relay()
	late := w.submit()
	w.relay()
	if got := w.deliveries(all.ID, ""); len(got) != 5 || got[0].JobID != late.ID {
		w.Errorf("%+v", got)
	}
}

//nolint:cyclop // a story in one piece
func testTurns(w *world) {
	h := w.hook(w.ours, "a")
	for range 10 {
		w.submit()
	}
	w.relay()
	if d, ok, err := w.NextTurn(w.ctx, hookKey); d != 0 || !ok || err != nil {
		w.Fatal(d, ok, err)
	}
	if _, ok, err := w.NextTurn(w.ctx, "another"); ok || err != nil {
		w.Error("another key sees it", err)
	}
	if got := w.turns("a", true); len(got) != 0 {
		w.Errorf("it did not fail yet: %+v", got)
	}
	first := w.turn(false)
	if len(first.Deliveries) != 5 { // as many as failures would open the circuit breaker
		w.Errorf("%d deliveries", len(first.Deliveries))
	}
	if got := w.turns("b", false); len(got) != 0 {
		w.Errorf("taken twice: %+v", got)
	}
	if d, ok, err := w.NextTurn(w.ctx, hookKey); d != outbox.TurnTime(&h.Spec) || !ok || err != nil {
		w.Error(d, ok, err)
	}
	w.advance(outbox.TurnTime(&h.Spec))
	second := w.turn(false)
	if second.Epoch != first.Epoch+1 || second.Deliveries[0].ID != first.Deliveries[0].ID {
		w.Errorf("%+v", second)
	}
	_, err := w.SettleTurn(w.ctx, first, w.results(first, taken))
	w.wantKind(err, fault.Conflict)
	if got := w.deliveries(h.ID, webhook.Delivered); len(got) != 0 {
		w.Errorf("a turn that was over wrote %+v", got)
	}
	w.settle(second, taken)
	_, err = w.SettleTurn(w.ctx, second, w.results(second, taken))
	w.wantKind(err, fault.Conflict)
	if got := w.deliveries(h.ID, webhook.Delivered); len(got) != 5 || got[0].NextAt != nil || got[0].FinishedAt == nil || got[0].Attempts != 1 {
		w.Errorf("%+v", got)
	}
	d, err := w.Reader(w.ours).Delivery(w.ctx, h.ID, second.Deliveries[0].ID)
	w.must(err)
	if len(d.Log) != 1 || d.Log[0] != (webhook.Attempt{Number: 1, At: w.now(), Duration: 1.5, Status: 204}) || d.Payload == "" {
		w.Errorf("%+v", d)
	}
	w.comesBack(h)
}

// comesBack: a node that comes back does not wait for what it had.
func (w *world) comesBack(h webhook.Webhook) {
	w.Helper()
	w.turn(false)
	w.must(w.ReleaseTurns(w.ctx, "b"))
	if got := w.turns("b", false); len(got) != 0 {
		w.Errorf("%+v", got)
	}
	w.must(w.ReleaseTurns(w.ctx, "a"))
	w.settle(w.turn(false), taken)
	if got := w.deliveries(h.ID, webhook.Pending); len(got) != 0 {
		w.Errorf("%+v", got)
	}
	if _, ok, err := w.NextTurn(w.ctx, hookKey); ok || err != nil {
		w.Error("nothing is left", err)
	}
}

func testGiveUp(w *world) {
	h := w.hook(w.ours, "a", func(d *webhook.Definition) { d.DisableAfter = "1h" })
	w.submit()
	w.relay()
	w.settle(w.turn(false), broken)
	w.advance(59 * time.Minute)
	if s := w.settle(w.turn(true), broken); s.Disabled != "" {
		w.Errorf("%+v", s)
	}
	w.advance(6 * time.Hour)
	if s := w.settle(w.turn(true), broken); s.Disabled == "" {
		w.Error("it was not disabled")
	}
	if got := w.hooked("a"); got.Enabled || got.DisabledReason == "" || got.Pending != 1 {
		w.Errorf("%+v", got)
	}
	w.advance(24 * time.Hour)
	if got := w.turns("a", true); len(got) != 0 {
		w.Errorf("%+v", got)
	}
	w.must(w.onHook("a", func(tx service.Tx, h *webhook.Webhook) error {
		h.Enabled = true
		h.Health = webhook.Health{Breaker: webhook.Closed}
		return tx.SaveWebhook(h, service.WebhookEnabled, "")
	}))
	w.settle(w.turn(false), webhook.Outcome{Status: 410, Class: webhook.Gone})
	if got := w.hooked("a"); got.Enabled || len(w.deliveries(h.ID, webhook.Dead)) != 1 {
		w.Errorf("%+v", got)
	}
}

func testRetryAfter(w *world) {
	w.hook(w.ours, "a")
	w.submit()
	w.submit()
	w.relay()
	asked := broken
	asked.RetryAfter = 48 * time.Hour
	w.settle(w.turn(false), asked)
	w.submit()
	w.relay()
	if d, ok, err := w.NextTurn(w.ctx, hookKey); d != webhook.MaxRetryAfter || !ok || err != nil {
		w.Error(d, ok, err)
	}
	w.advance(webhook.MaxRetryAfter)
	w.settle(w.turn(true), taken)
}

func testResend(w *world) {
	h := w.hook(w.ours, "a")
	begin := w.now()
	w.submit()
	w.advance(time.Hour)
	w.submit()
	w.relay()
	w.settle(w.turn(false), webhook.Outcome{Status: 404, Class: webhook.Refused})
	dead := w.deliveries(h.ID, webhook.Dead)
	if len(dead) != 2 {
		w.Fatalf("%+v", dead)
	}
	w.wantKind(w.onHook("a", func(tx service.Tx, h *webhook.Webhook) error {
		_, err := tx.ResendDelivery(h, "none")
		return err
	}), fault.NotFound)
	other := w.hook(w.ours, "other")
	w.wantKind(w.onHook(other.ID, func(tx service.Tx, h *webhook.Webhook) error {
		_, err := tx.ResendDelivery(h, dead[0].ID)
		return err
	}), fault.NotFound)
	w.must(w.onHook("a", func(tx service.Tx, h *webhook.Webhook) error {
		d, err := tx.ResendDelivery(h, dead[0].ID)
		if d.State != webhook.Pending || d.Attempts != 1 {
			w.Errorf("%+v", d)
		}
		return err
	}))
	w.settle(w.turn(true), taken)
	replay := func(since time.Time) (n int) {
		events, err := w.Reader(w.ours).EventsSince(w.ctx, since, 0, 100)
		w.must(err)
		w.must(w.onHook("a", func(tx service.Tx, h *webhook.Webhook) (err error) {
			n, err = tx.ReplayEvents(h, events)
			return err
		}))
		return n
	}
	if n := replay(begin.Add(time.Minute)); n != 1 {
		w.Errorf("%d events", n)
	}
	if n := replay(begin); n != 1 { // the other one waits already
		w.Errorf("%d events", n)
	}
	w.settle(w.turn(false), taken)
	done := w.deliveries(h.ID, webhook.Delivered)
	if len(done) != 2 || done[0].Attempts+done[1].Attempts != 5 {
		w.Errorf("%+v", done)
	}
	n, err := w.ForgetDeliveries(w.ctx, w.now(), w.now(), 10)
	if n != 0 || err != nil {
		w.Error(n, err)
	}
	w.advance(time.Second)
	n, err = w.ForgetDeliveries(w.ctx, w.now(), w.now().Add(-time.Hour), 10)
	if n != 2 || err != nil || len(w.deliveries(h.ID, "")) != 0 {
		w.Error(n, err)
	}
}

// testRelayNodes: events that many write at once reach the webhook once each,
// however many relays there are.
func testRelayNodes(w *world) {
	h := w.hook(w.ours, "a", func(d *webhook.Definition) { d.Events = []string{"job.submitted"} })
	const writers, each = 4, 10
	jobs := make([]job.Job, writers*each)
	for i := range jobs {
		jobs[i] = w.draft(w.ours)
	}
	var writing, relaying sync.WaitGroup
	var done atomic.Bool
	for i := range writers {
		writing.Go(func() {
			for n := range each {
				if err := w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.Insert(&jobs[i*each+n]) }); err != nil {
					w.Error(fault.Detail(err))
				}
			}
		})
	}
	for range 3 {
		relaying.Go(func() {
			for !done.Load() {
				if _, err := w.Sequence(w.ctx, 5); err != nil {
					w.Error(fault.Detail(err))
				}
				if _, err := w.RelayEvents(w.ctx, 3); err != nil {
					w.Error(fault.Detail(err))
					return
				}
			}
		})
	}
	writing.Wait()
	done.Store(true)
	relaying.Wait()
	w.relay()
	got := map[string]int{}
	for _, d := range w.deliveries(h.ID, "") {
		got[d.JobID]++
	}
	for _, j := range jobs {
		if got[j.ID] != 1 {
			w.Errorf("%s: %d deliveries", j.ID, got[j.ID])
		}
	}
	if len(got) != len(jobs) {
		w.Error(fmt.Sprint(len(got), " jobs"))
	}
}

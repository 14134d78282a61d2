package storetest

import (
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/webhook"
)

func testBreaker(w *world) {
	h := w.hook(w.ours, "a", func(d *webhook.Definition) {
		d.Breaker = &webhook.BreakerPolicy{FailureThreshold: 3, SuccessThreshold: 2, Timeout: "10m"}
		d.Retry = &webhook.Retry{InitialDelay: "1s", BackoffFactor: 1}
	})
	for range 6 {
		w.submit()
	}
	w.relay()
	if s := w.settle(w.turn(false), broken); s.From != webhook.Closed || s.To != webhook.Open {
		w.Fatalf("%+v", s)
	}
	opened := w.now()
	if got := w.hooked("a").Health; got.Breaker != webhook.Open || got.Failures != 3 || !got.OpenUntil.Equal(opened.Add(10*time.Minute)) {
		w.Errorf("%+v", got)
	}
	w.advance(5 * time.Minute)
	if got := w.turns("a", true); len(got) != 0 {
		w.Errorf("an open breaker let %+v through", got)
	}
	w.submit()
	w.relay() // news does not wake it
	if d, ok, err := w.NextTurn(w.ctx, hookKey); d != 5*time.Minute || !ok || err != nil {
		w.Error(d, ok, err)
	}
	w.advance(5 * time.Minute)
	probe := w.turn(true)
	if probe.From != webhook.Open || probe.Webhook.Health.Breaker != webhook.HalfOpen || len(probe.Deliveries) != 1 {
		w.Errorf("%+v", probe)
	}
	if s := w.settle(probe, broken); s.To != webhook.Open {
		w.Errorf("%+v", s)
	}
	w.advance(10 * time.Minute)
	if s := w.settle(w.turn(true), taken); s.To != webhook.HalfOpen {
		w.Errorf("%+v", s)
	}
	if s := w.settle(w.turn(false), taken); s.From != webhook.HalfOpen || s.To != webhook.Closed {
		w.Errorf("%+v", s)
	}
	w.afterTheBreaker(h, opened)
}

// afterTheBreaker: what was spent, and what was told.
func (w *world) afterTheBreaker(h webhook.Webhook, opened time.Time) {
	w.Helper()
	attempts := 0
	for _, d := range w.deliveries(h.ID, "") {
		attempts += d.Attempts
	}
	if attempts != 6 {
		w.Errorf("%d attempts were spent, want 3 + 1 + 2", attempts)
	}
	counts, waiting, oldest, err := w.Hooks(w.ctx)
	if err != nil || counts[webhook.Closed] != 1 || waiting != 5 || !oldest.Equal(opened) {
		w.Error(counts, waiting, oldest, err)
	}
	var told []string
	events, err := w.Reader(w.ours).EventsSince(w.ctx, opened, 0, 100)
	w.must(err)
	for _, e := range events {
		if e.Data.Subject == h.Subject() {
			told = append(told, string(e.Kind))
		}
	}
	if want := []string{"webhook.created", "webhook.breaker_opened", "webhook.breaker_closed"}; !slices.Equal(told, want) {
		w.Errorf("%v, want %v", told, want)
	}
}

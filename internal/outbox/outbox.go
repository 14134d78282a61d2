package outbox

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/seal"
)

// How often the parts look without being woken: other nodes write, too.
const (
	pollEvery   = 2 * time.Second
	relayBatch  = 100 // events of one transaction
	forgetEvery = time.Hour
	forgetBatch = 500
)

// Options set an Outbox up. Node, Key, Client and Log are required.
type Options struct {
	Node   string        // which daemon this is
	Key    *seal.Key     // opens the secrets
	Client *http.Client  // keeps to the rules of where calls may go
	Agent  string        // User-Agent
	Keep   time.Duration // deliveries that have ended are kept for so long; 0: 7 days
	Hooks  Hooks
	Log    *slog.Logger
}

// keepOpen is how long a delivery is kept that does not end: its webhook is
// disabled, or nobody has the key.
const keepOpen = 30 * 24 * time.Hour

// Outbox makes deliveries and carries them out. Any number of nodes may work on
// one store.
type Outbox struct {
	q Queue
	o Options
}

// New makes an Outbox.
func New(q Queue, o Options) *Outbox {
	if o.Keep == 0 {
		o.Keep = 7 * 24 * time.Hour
	}
	return &Outbox{q: q, o: o}
}

// Run works until ctx is done; then it waits for the attempts in flight and
// returns nil.
func (b *Outbox) Run(ctx context.Context) error {
	b.report(ctx, "release", b.q.ReleaseTurns(ctx, b.o.Node))
	g, ctx := errgroup.WithContext(ctx)
	for _, loop := range []func(ctx context.Context){b.relay, newCourier(b).run, b.forget} {
		g.Go(func() error { return fault.Protect(func() error { loop(ctx); return nil }) }) // one that panics ends the others
	}
	return g.Wait()
}

// report logs an error; what failed is tried again.
func (b *Outbox) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		b.o.Log.ErrorContext(ctx, "webhooks: "+what, "error", fault.Detail(err))
	}
}

// relay makes deliveries of new events.
func (b *Outbox) relay(ctx context.Context) {
	wake, stop := b.q.Watch(event.Log)
	defer stop()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		}
		more, err := b.q.RelayEvents(ctx, relayBatch)
		b.report(ctx, "relay", err)
		if more && err == nil {
			timer.Reset(0)
		} else {
			timer.Reset(pollEvery)
		}
	}
}

// forget drops what is old.
func (b *Outbox) forget(ctx context.Context) {
	timer := time.NewTimer(forgetEvery)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		timer.Reset(forgetEvery)
		for now := time.Now(); ; {
			n, err := b.q.ForgetDeliveries(ctx, now.Add(-b.o.Keep), now.Add(-keepOpen), forgetBatch)
			b.report(ctx, "forget", err)
			if err != nil || n < forgetBatch {
				break
			}
		}
	}
}

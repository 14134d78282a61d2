package outbox

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// lane is how many endpoints have their turn at once: those that answer have a lane
// of their own, so that any number of dead ones cannot hold them up.
const lane = 32

// courier calls the endpoints.
type courier struct {
	*Outbox
	done chan bool // the lane of a turn that ended
	busy map[bool]int
	wg   sync.WaitGroup
}

func newCourier(b *Outbox) *courier {
	return &courier{Outbox: b, done: make(chan bool, 2*lane), busy: map[bool]int{}}
}

// run gives endpoints their turns until ctx is done, and waits for those that have
// begun.
func (c *courier) run(ctx context.Context) {
	wake, stop := c.q.Watch(event.Deliveries)
	defer stop()
	defer c.wg.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wake:
		case <-timer.C:
		case failing := <-c.done:
			c.busy[failing]--
		}
		timer.Reset(c.look(ctx))
	}
}

// look begins the turns that are due and returns how long to wait.
func (c *courier) look(ctx context.Context) time.Duration {
	d, err := c.wait(ctx)
	if err != nil || d > 0 {
		return d
	}
	for _, failing := range []bool{false, true} {
		if err := c.begin(ctx, failing); err != nil {
			return pollEvery
		}
	}
	if d, err = c.wait(ctx); err == nil && (c.busy[false] == lane || c.busy[true] == lane) {
		d = max(d, time.Second) // what is due may have no room: a turn that ends wakes us
	}
	return max(d, time.Millisecond)
}

// wait tells in how long there is something to do.
func (c *courier) wait(ctx context.Context) (time.Duration, error) {
	d, ok, err := c.q.NextTurn(ctx, c.o.Key.ID())
	c.report(ctx, "wait", err)
	if !ok || err != nil {
		return pollEvery, err
	}
	return min(pollEvery, max(d, 0)), nil
}

// begin fills a lane.
func (c *courier) begin(ctx context.Context, failing bool) error {
	room := lane - c.busy[failing]
	if room == 0 {
		return nil
	}
	turns, err := c.q.ClaimTurns(ctx, Claim{Node: c.o.Node, Key: c.o.Key.ID(), Failing: failing, Limit: room})
	c.report(ctx, "claim", err)
	c.busy[failing] += len(turns)
	for _, t := range turns {
		c.wg.Go(func() {
			c.report(ctx, "a turn", fault.Protect(func() error { c.turn(ctx, t); return nil }))
			c.done <- failing
		})
	}
	return err
}

// turn makes the attempts of one endpoint side by side and records them. A shutdown
// breaks them off unrecorded: they are made again.
func (c *courier) turn(ctx context.Context, t Turn) {
	private, err := t.Webhook.Open(c.o.Key)
	if err != nil { // until the time of the turn is over
		c.report(ctx, "the secrets of "+t.Webhook.ID, err)
		return
	}
	c.transition(ctx, &t.Webhook, t.From, t.Webhook.Health.Breaker)
	results := make([]Result, len(t.Deliveries))
	var wg sync.WaitGroup
	for i := range t.Deliveries {
		wg.Go(func() { results[i] = c.deliver(ctx, &t, &private, &t.Deliveries[i]) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		results = nil
	}
	c.settle(context.WithoutCancel(ctx), t, results)
}

func (c *courier) deliver(ctx context.Context, t *Turn, p *webhook.Private, d *webhook.Delivery) Result {
	begun := time.Now()
	o := webhook.Outcome{Class: webhook.Unreachable} // of an attempt that goes wrong
	c.report(ctx, "the attempt of "+d.ID, fault.Protect(func() error {
		o = c.attempt(ctx, t, p, d)
		return nil
	}))
	r := Result{ID: d.ID, At: begun.UTC(), Took: time.Since(begun), Outcome: o}
	r.Verdict = t.Webhook.Spec.Judge(d.Tries+1, d.Once, o, rand.Float64()) //nolint:gosec // jitter is no secret
	return r
}

// settle records a turn. An error leaves it to the end of its time: then the
// attempts are made again.
func (c *courier) settle(ctx context.Context, t Turn, results []Result) {
	s, err := c.q.SettleTurn(ctx, t, results)
	if err != nil {
		c.o.Log.WarnContext(ctx, "webhooks: attempts are not recorded and will be made again", "webhook", t.Webhook.ID, "error", fault.Detail(err))
		return
	}
	for _, r := range results {
		c.o.Log.DebugContext(ctx, "webhook attempt", "webhook", t.Webhook.ID, "delivery", r.ID, "status", r.Outcome.Status,
			"error", string(r.Outcome.Class), "took", r.Took.String())
		if c.o.Hooks.Attempted != nil {
			c.o.Hooks.Attempted(r)
		}
	}
	c.transition(ctx, &t.Webhook, s.From, s.To)
	if s.Disabled != "" {
		c.o.Log.WarnContext(ctx, "webhook disabled", "webhook", t.Webhook.ID, "tenant", t.Webhook.Tenant, "reason", s.Disabled)
		if c.o.Hooks.Disabled != nil {
			c.o.Hooks.Disabled()
		}
	}
}

// transition tells of a circuit breaker that changed.
func (c *courier) transition(ctx context.Context, w *webhook.Webhook, from, to webhook.BreakerState) {
	if from == to {
		return
	}
	c.o.Log.InfoContext(ctx, "webhook circuit breaker", "webhook", w.ID, "tenant", w.Tenant, "from", string(from), "to", string(to))
	if c.o.Hooks.Breaker != nil {
		c.o.Hooks.Breaker(to)
	}
}

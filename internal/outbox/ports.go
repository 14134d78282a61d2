// Package outbox carries the events of the log to the endpoints of webhooks: at
// least once, with the same id each time. What it has to do are rows of the store,
// so nothing is lost when the process ends, and several nodes share the work.
package outbox

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// Queue keeps the deliveries.
type Queue interface {
	// RelayEvents makes deliveries of up to limit further events of the log, in one
	// transaction with the position in it. more: there are further events. It does
	// nothing while another node is at it.
	RelayEvents(ctx context.Context, limit int) (more bool, err error)
	// ClaimTurns takes up to limit endpoints that have something to do and whose secrets
	// the key opens. failing asks for those whose last attempt failed, otherwise for
	// the others. Nobody else gets them until their turn is settled, or its time is
	// over.
	ClaimTurns(ctx context.Context, c Claim) ([]Turn, error)
	// SettleTurn records the attempts of a turn and ends it. Kind Conflict: it was over,
	// and nothing is recorded.
	SettleTurn(ctx context.Context, t Turn, results []Result) (Settled, error)
	// NextTurn tells in how long an endpoint whose secrets the key opens has something
	// to do; ok is false if none has.
	NextTurn(ctx context.Context, key string) (d time.Duration, ok bool, err error)
	// ForgetDeliveries drops deliveries that ended before done, and those that never ended and
	// are older than open, up to limit of each.
	ForgetDeliveries(ctx context.Context, done, open time.Time, limit int) (n int, err error)
	// ReleaseTurns ends the turns that an earlier life of the node had.
	ReleaseTurns(ctx context.Context, node string) error
	// Watch wakes after a change of a topic.
	Watch(topic event.Topic) (wake <-chan struct{}, stop func())
}

// Claim says who takes endpoints, and which.
type Claim struct {
	Node    string
	Key     string // of the secrets that the node can open
	Failing bool
	Limit   int
}

// Turn is the right to call one endpoint for a while.
type Turn struct {
	Webhook    webhook.Webhook
	Epoch      int64
	Node       string
	From       webhook.BreakerState // before the turn: a breaker that was open is half-open in it
	Deliveries []webhook.Delivery   // what is due, as much as may be in flight
}

// TurnTime is how long the turn of an endpoint lasts at most: an attempt, and what
// it takes to record it.
func TurnTime(d *webhook.Definition) time.Duration { return d.AttemptTime() + 30*time.Second }

// Result is an attempt and what follows from it.
type Result struct {
	ID      string // of the delivery
	At      time.Time
	Took    time.Duration
	Outcome webhook.Outcome
	Verdict webhook.Verdict
}

// Settled tells what became of an endpoint by its turn.
type Settled struct {
	From, To webhook.BreakerState
	Disabled string // why it was disabled; empty: it was not
}

// Hooks observe the work. Each may be nil and must return quickly.
type Hooks struct {
	Attempted func(r Result)
	Breaker   func(to webhook.BreakerState)
	Disabled  func()
}

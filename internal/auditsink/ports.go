// Package auditsink carries the audit log to places outside of the database: files,
// syslog servers, OTLP collectors, object stores. Each sink has a durable place in
// the log of its own, so that everything gets there in order and at least once, and
// a sink that is down holds up no other.
package auditsink

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
)

// Log keeps how far each sink has the log. Any number of nodes may work on one.
type Log interface {
	// RegisterSinks makes those that are new, ends the batches that an earlier life of
	// the node had, and lets them be tried at once.
	RegisterSinks(ctx context.Context, node string, sinks []Named) error
	// BeginBatch gives a node the next places of a sink. Nobody else gets them until the
	// batch is settled, or its time is over. nil: there is nothing to do for wait.
	BeginBatch(ctx context.Context, c Claim) (b *Batch, wait time.Duration, err error)
	// SettleBatch records what became of a batch. Kind Conflict: it was over.
	SettleBatch(ctx context.Context, b *Batch, r Result) error
	// Watch wakes after a change of a topic.
	Watch(topic event.Topic) (wake <-chan struct{}, stop func())
}

// Named is a sink as the log knows it.
type Named struct{ Name, Kind string }

// Claim asks for a batch.
type Claim struct {
	Sink  string
	Node  string
	Limit int           // places
	Time  time.Duration // how long the batch may take
}

// Batch is a run of places on its way to a sink. It ends with a checkpoint where it
// can. After a crash it is made again with the same places; what retention removed
// is missing.
type Batch struct {
	Sink     string
	Node     string
	Epoch    int64
	From, To int64 // first and last place
	Failures int   // of the sink in a row, so far
	More     bool  // there are further places behind
	Lines    []audit.Line
}

// Result is what became of a batch.
type Result struct {
	Done  bool
	Error string        // why it is not done; empty: the node stops
	Pause time.Duration // the next batch waits for so long
}

// Sink takes batches, one at a time.
type Sink interface {
	// Deliver returns nil when the batch is where it must be. It may get a batch again
	// that it has, whole or in part.
	Deliver(ctx context.Context, b *Batch) error
	Close() error
}

// Hooks observe the work. Each may be nil and must return quickly.
type Hooks struct {
	Delivered func(sink string, entries int)
	Failed    func(sink string)
}

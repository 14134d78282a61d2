package auditsink

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	pollEvery   = 5 * time.Second // how long the feed is trusted: other nodes write, too
	batchPlaces = 500
	deliverTime = 30 * time.Second
	batchTime   = 3 * deliverTime // longer than a delivery: who lost the batch has stopped by then
	settleTime  = 5 * time.Second // to record it when the node stops
	firstPause  = time.Second     // after a failure, doubled for each further one
	maxPause    = time.Minute
)

// Target is a configured sink.
type Target struct {
	Name, Kind string
	Sink       Sink
	Every      time.Duration // a batch that is not full waits for so long behind the last one
}

// Options set a Carrier up. Node and Log are required.
type Options struct {
	Node  string // which daemon this is
	Hooks Hooks
	Log   *slog.Logger
}

// Carrier carries the log to sinks.
type Carrier struct {
	log     Log
	targets []Target
	o       Options
}

// New makes a Carrier. It closes the sinks when Run ends.
func New(log Log, targets []Target, o Options) *Carrier { return &Carrier{log, targets, o} }

// Run works until ctx is done; then it breaks off what is on its way, which is made
// again, and returns nil.
func (c *Carrier) Run(ctx context.Context) error {
	var g errgroup.Group
	for i := range c.targets {
		t := &c.targets[i]
		g.Go(func() error {
			c.carry(ctx, t)
			return t.Sink.Close()
		})
	}
	return g.Wait()
}

// carry works for one sink.
func (c *Carrier) carry(ctx context.Context, t *Target) {
	wake, stop := c.log.Watch(event.Log)
	defer stop()
	for registered := false; ctx.Err() == nil; {
		var wait time.Duration
		err := error(nil)
		if !registered {
			err = c.log.RegisterSinks(ctx, c.o.Node, []Named{{t.Name, t.Kind}})
			registered = err == nil
		}
		if err == nil {
			wait, err = c.turn(ctx, t)
		}
		news := wake
		switch {
		case err != nil && ctx.Err() == nil:
			c.o.Log.ErrorContext(ctx, "the audit log stays where it is", "sink", t.Name, "error", fault.Detail(err))
			wait = pollEvery
		case wait > 0:
			news = nil // a pause is one, whatever is logged meanwhile
		default:
			wait = pollEvery
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-news:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// turn carries what there is and returns for how long there is nothing to do; 0:
// until something is logged.
func (c *Carrier) turn(ctx context.Context, t *Target) (time.Duration, error) {
	for ctx.Err() == nil {
		b, wait, err := c.log.BeginBatch(ctx, Claim{Sink: t.Name, Node: c.o.Node, Limit: batchPlaces, Time: batchTime})
		if err != nil || b == nil {
			return wait, err
		}
		if err := c.batch(ctx, t, b); err != nil {
			return 0, err
		}
	}
	return 0, nil
}

// batch carries one batch.
func (c *Carrier) batch(ctx context.Context, t *Target, b *Batch) error {
	limited, cancel := context.WithTimeout(ctx, deliverTime)
	err := t.Sink.Deliver(limited, b)
	cancel()
	r := Result{Done: err == nil}
	switch {
	case err == nil && !b.More:
		r.Pause = t.Every
	case err != nil && ctx.Err() == nil:
		r.Error, r.Pause = reason(err), pauseAfter(b.Failures)
	}
	settle, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	if err := c.log.SettleBatch(settle, b, r); err != nil {
		return err
	}
	c.tell(ctx, t, b, r, err)
	return nil
}

// tell logs the first failure of a row, and its end.
func (c *Carrier) tell(ctx context.Context, t *Target, b *Batch, r Result, err error) {
	switch {
	case r.Done:
		if c.o.Hooks.Delivered != nil {
			c.o.Hooks.Delivered(t.Name, len(b.Lines))
		}
		if b.Failures > 0 {
			c.o.Log.InfoContext(ctx, "the audit log is taken again", "sink", t.Name, "failures", b.Failures, "pos", b.To)
		}
	case r.Error != "":
		if c.o.Hooks.Failed != nil {
			c.o.Hooks.Failed(t.Name)
		}
		level := slog.LevelDebug
		if b.Failures == 0 {
			level = slog.LevelWarn
		}
		c.o.Log.Log(ctx, level, "the audit log is not taken", "sink", t.Name, "from", b.From, "failures", b.Failures+1, "error", fault.Detail(err))
	}
}

// reason is what may be shown of an error.
func reason(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "it took longer than " + deliverTime.String()
	}
	f := fault.As(err)
	text := f.Code + " " + f.Msg
	if f.Fix != "" {
		text += " → " + f.Fix
	}
	return text
}

// pauseAfter is how long to wait when so many tries had failed before this one.
func pauseAfter(failures int) time.Duration {
	return min(maxPause, firstPause<<min(failures, 10))
}

package dispatch_test

import (
	"context"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

// TestEndsDoNotPileUp: the next jobs start while the ends of the last ones wait for
// the store, but no more of them than there are workers; when the store is back all
// are run.
func TestEndsDoNotPileUp(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) { return job.Outcome{}, nil }
		b.opts.Workers = 2
		b.queue.apply = 1 << 30
		var ids []string
		for range 9 {
			ids = append(ids, b.submit())
		}
		d, stop := b.begin()
		defer stop()
		b.pass(5 * time.Second)
		if n := len(b.runner.runs); n != 4 {
			b.Errorf("%d jobs have started, want 4: the ends of all are waiting", n)
		}
		if size, busy := d.Workers(); size != 2 || busy != 0 {
			b.Errorf("%d of %d workers are busy", busy, size)
		}
		b.queue.set(func() { b.queue.apply = 0 })
		b.pass(5 * time.Second)
		for _, id := range ids {
			b.want(id, job.Completed)
		}
		if b.runner.max > 2 {
			b.Errorf("%d jobs ran at once", b.runner.max)
		}
	})
}

// TestCancelWhileWorkersEnd: a cancel comes through while workers become free all the
// time, and a clean-up starts when another one has made room.
func TestCancelWhileWorkersEnd(t *testing.T) {
	inBench(t, func(b *bench) {
		cleaned := make(chan struct{})
		b.runner.run = untilStopped
		b.runner.cleanup = func(context.Context, dispatch.Task) error { <-cleaned; return nil }
		b.opts.Poll = time.Hour
		b.opts.Lease = 3 * time.Hour
		b.opts.CleanupTimeout = time.Hour
		b.opts.Workers = 6
		var ids []string
		for range 6 {
			ids = append(ids, b.submit())
		}
		_, stop := b.begin()
		stop() // all have run before: a cancel makes them wait for their clean-up
		_, stop = b.begin()
		defer stop()
		for _, id := range ids {
			b.want(id, job.Running)
			b.cancel(id)
		}
		b.pass(time.Second)
		if n := len(b.runner.cleanups); n != len(ids) {
			b.Errorf("%d of %d cancels have come through", n, len(ids))
		}
		close(cleaned)
		b.pass(time.Second)
		for _, id := range ids {
			b.want(id, job.Cancelled)
		}
	})
}

// TestCleanupsTakeTurns: more jobs wait for their clean-up than may be cleaned at
// once, and none waits for the poll.
func TestCleanupsTakeTurns(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = untilStopped
		b.opts.Poll, b.opts.Lease, b.opts.Workers = time.Hour, 3*time.Hour, 9
		var ids []string
		for range 9 {
			ids = append(ids, b.submit())
		}
		_, stop := b.begin()
		stop()
		for _, id := range ids {
			b.cancel(id)
			b.want(id, job.Cancelling)
		}
		b.runner.cleanup = func(context.Context, dispatch.Task) error {
			<-time.After(time.Second)
			return nil
		}
		_, stop = b.begin()
		defer stop()
		b.pass(10 * time.Second)
		for _, id := range ids {
			b.want(id, job.Cancelled)
		}
	})
}

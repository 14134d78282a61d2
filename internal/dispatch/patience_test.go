package dispatch_test

import (
	"context"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// TestStoreAwayForAWhile: a store that does not answer for less than a lease lasts
// does not interrupt a run; one that is away for longer ends it, and that is no
// failure of the job.
func TestStoreAwayForAWhile(t *testing.T) {
	for name, c := range map[string]struct {
		away int // times the pause between two tries
		want job.State
	}{
		"short": {20, job.Completed},
		"long":  {1 << 30, job.Running}, // until the lease is taken back
	} {
		t.Run(name, func(t *testing.T) {
			inBench(t, func(b *bench) {
				var ended error
				b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
					ended = t.SaveToken(ctx, []byte("token"))
					return job.Outcome{}, ended
				}
				b.queue.set(func() {
					b.queue.save = c.away
					if c.want == job.Running {
						b.queue.renew = errDown
					}
				})
				id := b.submit()
				_, stop := b.begin()
				b.pass(14 * time.Second) // a lease is 15 s
				j := b.want(id, c.want)
				if j.Attempt != 1 || len(b.runner.runs) != 1 {
					b.Errorf("attempt %d after %v", j.Attempt, b.runner.runs)
				}
				if c.want == job.Running && !fault.Is(ended, fault.Unavailable) {
					b.Errorf("the run ended with %v", ended)
				}
				b.queue.set(func() { b.queue.save, b.queue.renew = 0, nil })
				b.pass(10 * time.Second)
				if j := b.want(id, job.Completed); j.Attempt != 1 {
					b.Errorf("attempt %d", j.Attempt)
				}
				stop()
			})
		})
	}
}

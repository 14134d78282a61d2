package dispatch_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

// TestHostLimit: jobs that find their host full wait, without a worker and
// without losing an attempt, until one of those before them ends.
func TestHostLimit(t *testing.T) {
	inBench(t, func(b *bench) {
		if err := b.store.LimitHosts(b.Context(), "p", 2); err != nil {
			b.Fatal(err)
		}
		var reading, most, yields atomic.Int32
		b.opts.Workers = 4
		b.opts.Hooks.Yielded = func(job.Job) { yields.Add(1) }
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			if err := t.Hosts.Take(ctx, "p", "esx"); err != nil {
				return job.Outcome{}, fmt.Errorf("take: %w", err)
			}
			most.Store(max(most.Load(), reading.Add(1)))
			defer reading.Add(-1)
			<-time.After(time.Minute)
			return job.Outcome{}, nil
		}
		var ids []string
		for range 7 {
			ids = append(ids, b.submit())
		}
		d, stop := b.begin()
		defer stop()
		b.pass(time.Second)
		if _, busy := d.Workers(); busy != 2 {
			b.Errorf("%d workers are busy", busy)
		}
		if j := b.want(ids[6], job.Pending); j.WaitReason != job.WaitHostLimit || j.Attempt != 0 {
			b.Errorf("it waits as %+v", j)
		}
		b.pass(4 * time.Minute)
		for _, id := range ids {
			if j := b.want(id, job.Completed); j.Attempt != 1 {
				b.Errorf("%s took %d attempts", id, j.Attempt)
			}
		}
		if most.Load() != 2 || yields.Load() != 5 || len(b.runner.runs) != 12 {
			b.Errorf("%d read at once, %d gave way in %d runs", most.Load(), yields.Load(), len(b.runner.runs))
		}
	})
}

package dispatch_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

// scaled is a bench whose pool scales between 1 and 8.
type scaled struct {
	*bench
	d       *dispatch.Dispatcher
	mu      sync.Mutex
	short   admission.Resource
	changes []string
}

func inScaledBench(t *testing.T, test func(b *scaled)) {
	t.Helper()
	inBench(t, func(b *bench) {
		s := &scaled{bench: b}
		d := dispatch.New(b.queue, b.queue, b.runner, b.opts)
		a := dispatch.NewAutoscaler(d, b.store, dispatch.AutoscaleOptions{
			Bounds: admission.Bounds{Min: 1, Max: 8},
			Short: func() admission.Resource {
				s.mu.Lock()
				defer s.mu.Unlock()
				return s.short
			},
			Changed: func(from, to int, reason string) {
				s.mu.Lock()
				defer s.mu.Unlock()
				s.changes = append(s.changes, fmt.Sprintf("%d→%d %s", from, to, reason))
			},
		})
		s.d = d
		ctx, cancel := context.WithCancel(b.Context())
		var wg sync.WaitGroup
		for _, run := range []func(context.Context) error{d.Run, a.Run} {
			wg.Go(func() {
				if err := run(ctx); err != nil {
					b.Error(err)
				}
			})
		}
		defer wg.Wait()
		defer cancel()
		test(s)
	})
}

func (b *scaled) wantPool(size, busy int, reason string) {
	b.Helper()
	s, n := b.d.Workers()
	bounds, why := b.d.Scaling()
	if s != size || n != busy || why.Size != size || why.Reason != reason || bounds.Max != 8 {
		b.Fatalf("after %v: %d of %d at work (%s), want %d of %d (%s)", time.Since(b.start), n, s, why.Reason, busy, size, reason)
	}
}

// The pool grows within seconds while jobs wait, and shrinks by draining: every
// run goes to its end, undisturbed.
func TestAutoscale(t *testing.T) {
	inScaledBench(t, func(b *scaled) {
		b.runner.run = func(ctx context.Context, _ dispatch.Task) (job.Outcome, error) {
			select {
			case <-time.After(2 * time.Minute):
				return job.Outcome{}, nil
			case <-ctx.Done():
				return job.Outcome{}, context.Cause(ctx)
			}
		}
		b.pass(10 * time.Second)
		b.wantPool(1, 0, admission.Steady)
		var ids []string
		for range 30 {
			ids = append(ids, b.submit())
		}
		b.pass(5 * time.Second)
		b.wantPool(8, 8, admission.AtMax)
		b.pass(6*time.Minute + 30*time.Second)
		b.wantPool(8, 6, admission.Steady) // the last six of thirty
		b.pass(time.Minute)
		b.wantPool(6, 6, admission.Steady)
		b.pass(7 * time.Minute)
		b.wantPool(1, 0, admission.Steady)
		for _, id := range ids {
			if j := b.want(id, job.Completed); j.Attempt != 1 || j.FinishedAt.Sub(*j.StartedAt) != 2*time.Minute {
				b.Errorf("%s was disturbed: %+v", id, j)
			}
		}
		if b.runner.max != 8 {
			b.Errorf("%d ran at once", b.runner.max)
		}
		if !slices.Equal(b.changes[:3], []string{"1→2 backlog", "2→4 backlog", "4→8 backlog"}) {
			b.Errorf("%v", b.changes)
		}
	})
}

// Short of memory, the pool drains; nothing is started until it has.
func TestAutoscaleDrains(t *testing.T) {
	inScaledBench(t, func(b *scaled) {
		b.runner.run = func(ctx context.Context, _ dispatch.Task) (job.Outcome, error) {
			<-time.After(time.Minute)
			return job.Outcome{}, ctx.Err()
		}
		for range 20 {
			b.submit()
		}
		b.pass(5 * time.Second)
		b.wantPool(8, 8, admission.AtMax)
		b.mu.Lock()
		b.short = admission.Memory
		b.mu.Unlock()
		b.pass(20 * time.Second)
		b.wantPool(1, 8, admission.ShortMem)
		b.pass(time.Minute)
		b.wantPool(1, 1, admission.ShortMem)
		b.mu.Lock()
		b.short = admission.Ample
		b.mu.Unlock()
		b.pass(5 * time.Second)
		b.wantPool(8, 8, admission.AtMax)
	})
}

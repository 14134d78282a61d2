package dispatch_test

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// TestJanitor: what a failed clean-up left is removed later, and only that.
func TestJanitor(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			if _, err := t.Ledger.Intend(ctx, "snapshot", "of "+t.Job.ID); err != nil {
				return job.Outcome{}, err
			}
			if t.Job.ID == "job-0" {
				return job.Outcome{}, errBad
			}
			return untilStopped(ctx, t)
		}
		b.runner.cleanup = func(context.Context, dispatch.Task) error { return errDown }
		failed, runs := b.submit(), b.submit()
		_, stop := b.begin()
		defer stop()
		b.want(failed, job.Failed)
		b.want(runs, job.Running)

		var (
			mu    sync.Mutex // of what the janitor's goroutine did
			gone  []string
			tries int
		)
		seen := func() (int, []string) {
			mu.Lock()
			defer mu.Unlock()
			return tries, slices.Clone(gone)
		}
		j := dispatch.NewJanitor(b.store, func(_ context.Context, e provider.LedgerEntry) error {
			mu.Lock()
			defer mu.Unlock()
			if tries++; tries == 1 {
				return errDown
			}
			gone = append(gone, e.Ref)
			return nil
		}, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- j.Run(ctx) }()
		synctest.Wait()
		if tries, gone := seen(); tries != 1 || len(gone) != 0 {
			b.Errorf("%d tries at once, gone %v", tries, gone)
		}
		b.pass(5 * time.Minute)
		cancel()
		err := <-done
		if tries, gone := seen(); err != nil || len(gone) != 1 || gone[0] != "of "+failed || tries != 2 {
			b.Errorf("gone %v after %d tries, %v", gone, tries, err)
		}
	})
}

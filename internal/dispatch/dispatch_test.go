package dispatch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

func TestCompletes(t *testing.T) {
	inBench(t, func(b *bench) {
		var started, finished []job.Job
		var took time.Duration
		b.opts.Hooks.Started = func(j job.Job) { started = append(started, j) }
		b.opts.Hooks.Finished = func(j job.Job, d time.Duration) { finished, took = append(finished, j), d }
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			t.Progress(job.Progress{Phase: "copying", BytesRead: 1})
			t.Progress(job.Progress{Phase: "copying", BytesRead: 2})
			<-time.After(1500 * time.Millisecond)
			return job.Outcome{Artifacts: []job.Artifact{{Name: "x"}}, Receipt: []byte(`{}`)}, ctx.Err()
		}
		_, stop := b.begin()
		defer stop()
		id := b.submit()
		b.pass(1200 * time.Millisecond)
		if j := b.want(id, job.Running); j.Progress == nil || j.Progress.BytesRead != 2 || j.Progress.UpdatedAt.IsZero() {
			b.Errorf("progress %+v", j.Progress)
		}
		b.pass(time.Second)
		if j := b.want(id, job.Completed); len(j.Artifacts) != 1 || string(j.Receipt) != `{}` || j.Node != "a" {
			b.Errorf("got %+v", j)
		}
		if len(started) != 1 || len(finished) != 1 || finished[0].State != job.Completed || took != 1500*time.Millisecond {
			b.Errorf("hooks: %v, %v after %v", started, finished, took)
		}
		if len(b.runner.cleanups) != 0 {
			b.Error("a job that completed is cleaned up")
		}
	})
}

func TestPoolIsBoundedAndPrior(t *testing.T) {
	inBench(t, func(b *bench) {
		b.opts.Workers = 3
		var started []string
		b.opts.Hooks.Started = func(j job.Job) { started = append(started, j.ID) }
		b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) {
			<-time.After(time.Second)
			return job.Outcome{}, nil
		}
		var ids []string
		for i := range 20 {
			p := job.Low
			if i >= 15 {
				p = job.Critical
			}
			ids = append(ids, b.submit(func(s *job.Spec) { s.Priority = p }))
		}
		d, stop := b.begin()
		defer stop()
		if size, busy := d.Workers(); size != 3 || busy != 3 {
			b.Errorf("%d of %d are busy", busy, size)
		}
		b.pass(20 * time.Second)
		if b.runner.max != 3 {
			b.Errorf("%d ran at once", b.runner.max)
		}
		if _, busy := d.Workers(); busy != 0 {
			b.Errorf("%d are busy at the end", busy)
		}
		for i, id := range ids {
			b.want(id, job.Completed)
			if place := slices.Index(started, id); place != (i+5)%20 {
				b.Errorf("%s ran at place %d", id, place)
			}
		}
	})
}

func TestFailsForGood(t *testing.T) {
	inBench(t, func(b *bench) {
		var id string
		b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) { return job.Outcome{}, errBad }
		b.runner.cleanup = func(context.Context, dispatch.Task) error {
			b.want(id, job.Running)
			return nil
		}
		id = b.submit()
		_, stop := b.begin()
		defer stop()
		if j := b.want(id, job.Failed); j.Error.Code != "HX-TEST-002" || j.Error.Kind != "corrupt" || j.Attempt != 1 {
			b.Errorf("got %+v", j)
		}
		if len(b.runner.cleanups) != 1 {
			b.Errorf("%d clean-ups", len(b.runner.cleanups))
		}
	})
}

// TestRetries: a transient error brings the job back after a pause, with its
// token and checkpoints; the last attempt fails it.
func TestRetries(t *testing.T) {
	inBench(t, func(b *bench) {
		var at []time.Duration
		var retried int
		b.opts.Hooks.Retried = func(job.Job) { retried++ }
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			at = append(at, time.Since(b.start))
			if n := len(at) - 1; n > 0 {
				cp, found, err := t.Checkpoints.Load(ctx, "2000")
				if string(t.Token) != "token" || !found || err != nil || cp.Offset != int64(n) || len(cp.Records) != n {
					b.Errorf("attempt %d has token %q and %+v, %v", n+1, t.Token, cp, err)
				}
			}
			err := errors.Join(
				t.SaveToken(ctx, []byte("token")),
				t.Checkpoints.Append(ctx, "2000", int64(len(at)), []byte("d"), []byte("r")))
			return job.Outcome{}, errors.Join(err, fmt.Errorf("copy: %w", errDown))
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		if j := b.want(id, job.Pending); j.WaitReason != job.WaitNotBefore || j.Error.Code != "HX-TEST-001" || j.Attempt != 1 {
			b.Errorf("after the first attempt: %+v", j)
		}
		b.pass(time.Minute)
		if j := b.want(id, job.Failed); j.Attempt != 3 || j.Error.Code != "HX-TEST-001" {
			b.Errorf("got %+v", j)
		}
		// 5 s and 10 s, each less a quarter by the dice, found by the next poll.
		if len(at) != 3 || at[1] < 3750*time.Millisecond || at[1] > 4750*time.Millisecond || at[2]-at[1] < 7500*time.Millisecond || at[2]-at[1] > 8500*time.Millisecond {
			b.Errorf("attempts at %v", at)
		}
		if retried != 2 || len(b.runner.cleanups) != 1 {
			b.Errorf("%d retries, %d clean-ups", retried, len(b.runner.cleanups))
		}
	})
}

func TestCancelRunning(t *testing.T) {
	for _, deaf := range []bool{false, true} {
		inBench(t, func(b *bench) {
			b.queue.deaf = deaf
			var id string
			var heard time.Duration
			b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
				<-ctx.Done()
				heard = time.Since(b.start)
				if !errors.Is(context.Cause(ctx), dispatch.ErrCancelRequested) {
					b.Errorf("cause %v", context.Cause(ctx))
				}
				<-time.After(time.Second)
				return job.Outcome{}, ctx.Err()
			}
			b.runner.cleanup = func(ctx context.Context, t dispatch.Task) error {
				b.want(id, job.Cancelling)
				<-time.After(time.Minute) // longer than a lease
				return ctx.Err()
			}
			id = b.submit()
			_, stop := b.begin()
			defer stop()
			b.pass(10200 * time.Millisecond)
			b.cancel(id)
			synctest.Wait()
			if !deaf && heard != 10200*time.Millisecond {
				b.Errorf("heard at once only after %v", heard)
			}
			b.pass(time.Second)
			if heard == 0 {
				b.Error("not heard within a second")
			}
			b.pass(40 * time.Second)
			b.want(id, job.Cancelling)
			b.pass(30 * time.Second)
			if j := b.want(id, job.Cancelled); j.CancelReason != "why" || j.Error != nil {
				b.Errorf("got %+v", j)
			}
			if len(b.runner.runs) != 1 || len(b.runner.cleanups) != 1 {
				b.Errorf("runs %v, clean-ups %v", b.runner.runs, b.runner.cleanups)
			}
		})
	}
}

// TestCancelWhileAllAreBusy: a job that ran before is cleaned up although no
// worker is free.
func TestCancelWhileAllAreBusy(t *testing.T) {
	inBench(t, func(b *bench) {
		first := true
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			if first {
				first = false
				return job.Outcome{}, errDown
			}
			return untilStopped(ctx, t)
		}
		waits := b.submit()
		_, stop := b.begin()
		defer stop()
		busy := b.submit()
		synctest.Wait()
		b.want(waits, job.Pending)
		b.cancel(waits)
		synctest.Wait()
		b.want(waits, job.Cancelled)
		b.want(busy, job.Running)
	})
}

func TestCancelCameTooLate(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			<-ctx.Done()
			return job.Outcome{Receipt: []byte(`{}`)}, nil // it was published already
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		b.cancel(id)
		synctest.Wait()
		b.want(id, job.Completed)
	})
}

func TestCleanupIsTriedAgain(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = untilStopped
		b.runner.cleanup = func(context.Context, dispatch.Task) error {
			if len(b.runner.cleanups) < 3 {
				return errDown
			}
			return nil
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		b.cancel(id)
		b.pass(time.Second)
		if j := b.want(id, job.Cancelling); j.Error.Code != "HX-TEST-001" {
			b.Errorf("got %+v", j)
		}
		b.pass(time.Minute)
		b.want(id, job.Cancelled)
		if len(b.runner.cleanups) != 3 || len(b.runner.runs) != 1 {
			b.Errorf("%d clean-ups, %d runs", len(b.runner.cleanups), len(b.runner.runs))
		}
	})
}

// TestCleanupKnowsTheLastToken: what a run saved is what its own clean-up gets.
func TestCleanupKnowsTheLastToken(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			return job.Outcome{}, errors.Join(t.SaveToken(ctx, []byte("stage")), errBad)
		}
		var got string
		b.runner.cleanup = func(_ context.Context, t dispatch.Task) error {
			got = string(t.Token)
			return nil
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		b.pass(time.Second)
		b.want(id, job.Failed)
		if got != "stage" {
			b.Errorf("the clean-up got the token %q", got)
		}
	})
}

// TestShutdown: the job goes back without a spent attempt, keeps its checkpoint
// and goes on under the next dispatcher.
func TestShutdown(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			if len(t.Token) > 0 {
				cp, found, err := t.Checkpoints.Load(ctx, "2000")
				if !found || cp.Offset != 7 {
					b.Errorf("the checkpoint is %+v, %v", cp, err)
				}
				return job.Outcome{}, nil
			}
			err := errors.Join(t.SaveToken(ctx, []byte("token")), t.Checkpoints.Append(ctx, "2000", 7, nil, nil))
			<-ctx.Done()
			if !errors.Is(context.Cause(ctx), dispatch.ErrShutdown) {
				b.Errorf("cause %v", context.Cause(ctx))
			}
			return job.Outcome{}, errors.Join(err, errDown) // what a cut connection looks like
		}
		interrupted := 0
		b.opts.Hooks.Interrupted = func(job.Job) { interrupted++ }
		id := b.submit()
		_, stop := b.begin()
		b.want(id, job.Running)
		stop()
		if j := b.want(id, job.Pending); j.Attempt != 0 || interrupted != 1 || len(b.runner.cleanups) != 0 {
			b.Errorf("got %+v, %d hooks, %d clean-ups", j, interrupted, len(b.runner.cleanups))
		}
		_, stop = b.begin()
		defer stop()
		b.want(id, job.Completed)
	})
}

// TestShutdownDuringCleanup: the job stays cancelling and is cleaned up later.
func TestShutdownDuringCleanup(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = untilStopped
		b.runner.cleanup = func(ctx context.Context, _ dispatch.Task) error {
			if len(b.runner.cleanups) > 1 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		}
		id := b.submit()
		_, stop := b.begin()
		b.cancel(id)
		synctest.Wait()
		stop()
		b.want(id, job.Cancelling)
		_, stop = b.begin()
		defer stop()
		b.want(id, job.Cancelled)
		if len(b.runner.runs) != 1 || len(b.runner.cleanups) != 2 {
			b.Errorf("runs %v, clean-ups %v", b.runner.runs, b.runner.cleanups)
		}
	})
}

func TestPanicFailsOneJob(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(_ context.Context, t dispatch.Task) (job.Outcome, error) {
			if t.Job.ID == "job-0" {
				panic("secret value")
			}
			return job.Outcome{}, nil
		}
		first, second := b.submit(), b.submit()
		_, stop := b.begin()
		defer stop()
		if j := b.want(first, job.Failed); j.Error.Kind != "internal" || j.Error.Code != "HX-RUN-010" {
			b.Errorf("got %+v", j.Error)
		}
		b.want(second, job.Completed)
	})
}

func TestTimeout(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = untilStopped
		id := b.submit(func(s *job.Spec) { s.Timeout = "90s" })
		_, stop := b.begin()
		defer stop()
		b.pass(89 * time.Second)
		b.want(id, job.Running)
		b.pass(2 * time.Second)
		if j := b.want(id, job.Failed); j.Error.Code != "HX-RUN-004" || j.Attempt != 1 || len(b.runner.cleanups) != 1 {
			b.Errorf("got %+v", j)
		}
	})
}

// TestLeaseLost: when the store does not answer, the run stops by its own clock
// before the lease ends, writes nothing more and cleans nothing up.
func TestLeaseLost(t *testing.T) {
	inBench(t, func(b *bench) {
		var lost time.Duration
		b.runner.run = func(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
			if len(b.runner.runs) > 1 {
				return job.Outcome{}, nil
			}
			<-ctx.Done()
			lost = time.Since(b.start)
			if !errors.Is(context.Cause(ctx), dispatch.ErrLeaseLost) {
				b.Errorf("cause %v", context.Cause(ctx))
			}
			return job.Outcome{}, ctx.Err()
		}
		id := b.submit(func(s *job.Spec) { s.MaxAttempts = 1 })
		_, stop := b.begin()
		defer stop()
		b.pass(10500 * time.Millisecond) // renewed after 4 and 8 seconds
		b.queue.set(func() { b.queue.renew = errDown })
		b.pass(12 * time.Second)
		b.want(id, job.Running)
		if lost < 15*time.Second || lost > 22*time.Second {
			b.Errorf("stopped after %v", lost)
		}
		b.queue.set(func() { b.queue.renew = nil })
		b.pass(3 * time.Second) // the lease ends, the job is taken again
		if j := b.want(id, job.Completed); j.Attempt != 1 {
			b.Errorf("got %+v", j)
		}
		if len(b.runner.cleanups) != 0 {
			b.Error("a job of somebody else was cleaned up")
		}
	})
}

// TestStaleRunCleansNothingUp: a run that fails after its job went to somebody
// else, and before it noticed, leaves everything alone.
func TestStaleRunCleansNothingUp(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) {
			if len(b.runner.runs) > 1 {
				return job.Outcome{}, nil
			}
			<-time.After(2 * time.Second)
			return job.Outcome{}, errBad
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		if n, err := b.store.TakeBack(b.Context(), "a"); n != 1 || err != nil {
			b.Fatalf("took back %d, %v", n, err)
		}
		b.pass(5 * time.Second)
		b.want(id, job.Completed)
		if len(b.runner.cleanups) != 0 {
			b.Error("the clean-up took away what the next run needs")
		}
	})
}

// TestLongRunKeepsItsLease: half an hour without progress are no reason to lose
// a job.
func TestLongRunKeepsItsLease(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(ctx context.Context, _ dispatch.Task) (job.Outcome, error) {
			select {
			case <-ctx.Done():
			case <-time.After(30 * time.Minute):
			}
			return job.Outcome{}, ctx.Err()
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		b.pass(30*time.Minute + time.Second)
		if j := b.want(id, job.Completed); j.Attempt != 1 || len(b.runner.runs) != 1 {
			b.Errorf("got %+v in %d runs", j, len(b.runner.runs))
		}
	})
}

// TestSlowToStop: a run that does not stop when its lease is lost delays the
// next run of the job here: two never overlap.
func TestSlowToStop(t *testing.T) {
	inBench(t, func(b *bench) {
		b.opts.Workers = 2
		b.runner.run = func(ctx context.Context, _ dispatch.Task) (job.Outcome, error) {
			<-time.After(time.Minute) // deaf to ctx
			return job.Outcome{}, ctx.Err()
		}
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		b.queue.set(func() { b.queue.renew = errDown })
		b.pass(20 * time.Second)
		b.queue.set(func() { b.queue.renew = nil })
		b.pass(2 * time.Minute)
		b.want(id, job.Completed)
		if len(b.runner.runs) != 2 || b.runner.max != 1 {
			b.Errorf("%d runs, %d at once", len(b.runner.runs), b.runner.max)
		}
	})
}

// TestCrash: what a process that died had is taken back when its node starts
// again, without waiting for the lease.
func TestCrash(t *testing.T) {
	inBench(t, func(b *bench) {
		runs, cancels := b.submit(), b.submit()
		for range 2 { // a process that claimed both and died
			if _, err := b.store.Claim(b.Context(), "a", 15*time.Second, 1); err != nil {
				b.Fatal(err)
			}
		}
		b.cancel(cancels)
		b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) { return job.Outcome{}, nil }
		_, stop := b.begin()
		defer stop()
		b.want(runs, job.Completed)
		b.want(cancels, job.Cancelled)
		if len(b.runner.cleanups) != 1 || b.runner.cleanups[0] != cancels {
			b.Errorf("clean-ups %v", b.runner.cleanups)
		}
	})
}

// TestAJobThatKillsItsWorkersEnds: its next run only cleans up.
func TestAJobThatKillsItsWorkersEnds(t *testing.T) {
	for _, crashes := range []int{2, 3, 6} {
		inBench(t, func(b *bench) {
			b.opts.MaxCrashes = 3
			b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) { return job.Outcome{}, nil }
			id := b.submit()
			for range crashes {
				if _, err := b.store.Claim(b.Context(), "a", 15*time.Second, 1); err != nil {
					b.Fatal(err)
				}
				if n, err := b.store.TakeBack(b.Context(), "a"); n != 1 || err != nil {
					b.Fatalf("took back %d, %v", n, err)
				}
			}
			_, stop := b.begin()
			defer stop()
			if crashes < 3 {
				b.want(id, job.Completed)
				return
			}
			if j := b.want(id, job.Failed); j.Error.Code != "HX-RUN-012" || len(b.runner.runs) != 0 || len(b.runner.cleanups) != map[int]int{3: 1, 6: 0}[crashes] {
				b.Errorf("got %+v, %d runs, %d clean-ups", j.Error, len(b.runner.runs), len(b.runner.cleanups))
			}
		})
	}
}

// TestEndIsStoredAgain: the end of a run survives a store that fails for a while.
func TestEndIsStoredAgain(t *testing.T) {
	inBench(t, func(b *bench) {
		b.runner.run = func(context.Context, dispatch.Task) (job.Outcome, error) { return job.Outcome{}, nil }
		b.queue.apply = 5
		id := b.submit()
		_, stop := b.begin()
		defer stop()
		b.want(id, job.Running)
		b.pass(2 * time.Second)
		if b.want(id, job.Completed); len(b.runner.runs) != 1 {
			b.Errorf("%d runs", len(b.runner.runs))
		}
	})
}

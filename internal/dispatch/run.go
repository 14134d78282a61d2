package dispatch

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// run is one lease and what is done under it. Two contexts guard it: leaseCtx
// ends when the job may no longer be touched or the process stops, ctx, below
// it, when the work is to stop but a clean-up may follow.
type run struct {
	d           *Dispatcher
	lease       Lease
	claimed     time.Time // before the lease began, monotonic
	cleanupOnly bool
	before      *run                 // an earlier run of the job that may not have returned yet
	done        chan struct{}        // closed when do has returned
	leave       func(outcome string) // Hooks.Enter; may be nil
	log         *slog.Logger

	base     context.Context //nolint:containedctx // never done
	leaseCtx context.Context //nolint:containedctx // see above
	endLease context.CancelCauseFunc
	ctx      context.Context //nolint:containedctx // see above
	stop     context.CancelCauseFunc

	mu       sync.Mutex
	progress *job.Progress // not stored yet
	token    []byte        // saved last, by this run or an earlier one
}

func newRun(base context.Context, d *Dispatcher, l Lease, claimed time.Time) *run {
	r := &run{d: d, lease: l, token: l.Token, claimed: claimed, base: base, done: make(chan struct{})}
	r.log = d.o.Log.With("job", l.Job.ID, "epoch", l.Job.Epoch, "attempt", l.Job.Attempt)
	r.leaseCtx, r.endLease = context.WithCancelCause(base)
	r.ctx, r.stop = context.WithCancelCause(r.leaseCtx)
	return r
}

// do carries the run out and settles the job. It returns when nothing of the run
// is at work any more.
func (r *run) do() {
	defer close(r.done)
	defer r.endLease(nil)
	beat, quiet := context.WithCancel(r.base)
	var wg sync.WaitGroup
	wg.Go(func() { r.heartbeat(beat) })
	if r.before != nil {
		<-r.before.done // its lease is lost; two runs of a job never overlap here
	}
	r.noteTrace()
	var c job.Change
	var ok bool
	switch {
	case r.cleanupOnly:
		c, ok = r.settleCancelled()
	case r.lease.Crashes >= r.d.o.MaxCrashes:
		c, ok = r.giveUp()
	default:
		o, err := r.work()
		c, ok = r.decide(o, err)
	}
	if !r.cleanupOnly {
		r.d.done()
	}
	outcome := "lost"
	if ok {
		r.apply(c)
		outcome = string(c.Trigger)
	}
	quiet()
	wg.Wait()
	if r.leave != nil {
		r.leave(outcome)
	}
}

// noteTrace keeps the place of the run in its trace, so that the next one can
// tell what it follows.
func (r *run) noteTrace() {
	if parent := tracing.Parent(r.leaseCtx); parent != "" {
		r.d.report(r.leaseCtx, "note the trace of a run", r.d.q.SaveTrace(r.leaseCtx, r.lease, parent))
	}
}

// work calls the Runner within the job's time limit.
func (r *run) work() (job.Outcome, error) {
	limit, err := r.lease.Job.Spec.ParseTimeout()
	if err != nil {
		return job.Outcome{}, err
	}
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { r.stop(ErrTimeout) })
		defer timer.Stop()
	}
	var o job.Outcome
	err = Protect(func() (err error) {
		o, err = r.d.runner.Run(r.ctx, r.task())
		return err
	})
	return o, err
}

// Protect turns a panic into an error: it fails one job, not the daemon.
func Protect(fn func() error) error {
	err := fault.Protect(fn)
	if err != nil && fault.As(err).Code == fault.CodePanic { // also one of a goroutine that fn waited for
		err = fault.Wrap(err, fault.Internal, "HX-RUN-010", "the executor of the job went wrong", "see the daemon's log and report it")
	}
	return err
}

func (r *run) task() Task {
	l := r.lease
	r.mu.Lock()
	defer r.mu.Unlock()
	return Task{
		Job: l.Job, Token: r.token,
		Ledger: patientLedger{r.d.q.Ledger(l), r}, Checkpoints: patientCheckpoints{r.d.q.Checkpoints(l), r}, Steps: patientSteps{r.d.q.Steps(l), r},
		Hosts:     patientHosts{r.d.q.Hosts(l), r},
		SaveToken: r.saveToken,
		Progress:  r.setProgress,
	}
}

// saveToken keeps the token for a later run, and for the Cleanup of this one:
// even if it is unknown whether it was stored, it tells of what there may be.
func (r *run) saveToken(ctx context.Context, token []byte) error {
	r.mu.Lock()
	r.token = token
	r.mu.Unlock()
	return r.patiently(ctx, func() error { return r.d.q.SaveToken(ctx, r.lease, token) })
}

func (r *run) setProgress(p job.Progress) {
	p.Disks = slices.Clone(p.Disks)
	p.UpdatedAt = r.d.o.Now().UTC()
	r.mu.Lock()
	r.progress = &p
	r.mu.Unlock()
}

// decide returns what becomes of the job after the Runner returned; ok is false
// if the lease is lost and it is not ours to say.
func (r *run) decide(o job.Outcome, err error) (c job.Change, ok bool) {
	node, j := r.d.o.Node, r.lease.Job
	if r.lost() {
		return job.Change{}, false
	}
	if err == nil {
		return job.CompleteWith(node, o), true
	}
	r.log.InfoContext(r.base, "the run ended", "cause", context.Cause(r.ctx), "error", fault.Detail(err))
	cause := context.Cause(r.ctx)
	switch {
	case r.leaseCtx.Err() != nil: // not lost, so it is the shutdown
		return job.InterruptBy(node, ErrShutdown.Msg), true
	case errors.Is(cause, ErrCancelRequested):
		return r.settleCancelled()
	case errors.Is(cause, ErrTimeout):
		return r.fail(ErrTimeout)
	case IsHostFull(err):
		return job.YieldBy(node, fault.As(err).Msg), true
	case fault.KindOf(err).Retryable() && !isFinal(err) && j.Attempt < j.MaxAttempts:
		return job.RetryAt(node, err, r.d.o.Now().Add(r.d.o.pause(j.Attempt))), true
	}
	return r.fail(err)
}

// giveUp fails a job whose workers die. If the clean-up seems to be what they die
// of, it is left to the Janitor.
func (r *run) giveUp() (c job.Change, ok bool) {
	n := r.lease.Crashes
	err := fault.Newf(fault.Internal, "HX-RUN-012", "see the log of the daemon for how it ended, then retry the job",
		"the daemon that ran the job was lost %d times in a row, and the job came no further", n)
	if n >= 2*r.d.o.MaxCrashes {
		return job.FailWith(r.d.o.Node, err), true
	}
	return r.fail(err)
}

func (r *run) lost() bool { return errors.Is(context.Cause(r.leaseCtx), ErrLeaseLost) }

// fail cleans up after a job that will not be tried again. What a clean-up could
// not remove stays in the ledger for the Janitor.
func (r *run) fail(err error) (c job.Change, ok bool) {
	if c, interrupted, ok := r.cleanup(); interrupted {
		return c, ok
	}
	return job.FailWith(r.d.o.Node, err), true
}

// settleCancelled cleans up after a cancelled job; it is cancelled only when
// that succeeded.
func (r *run) settleCancelled() (c job.Change, ok bool) {
	c, interrupted, ok := r.cleanup()
	switch {
	case interrupted:
		return c, ok
	case c.Error != nil:
		return c, true
	}
	return job.SettleBy(r.d.o.Node), true
}

// cleanup calls the Runner's Cleanup. interrupted is set if the process stops or
// the lease is lost (then ok is false); otherwise c is the change to try again
// with, with an Error, or empty after a success.
func (r *run) cleanup() (c job.Change, interrupted, ok bool) {
	if _, err := r.d.q.Renew(r.leaseCtx, r.lease, r.d.o.Lease, nil); fault.Is(err, fault.Conflict) {
		r.endLease(ErrLeaseLost) // whoever has the job now needs what we would remove
	}
	ctx, cancel := context.WithTimeout(r.leaseCtx, r.d.o.CleanupTimeout)
	defer cancel()
	var err error
	if ctx.Err() == nil {
		err = Protect(func() error { return r.d.runner.Cleanup(ctx, r.task()) })
	}
	switch {
	case r.lost():
		return c, true, false
	case r.leaseCtx.Err() != nil:
		return job.InterruptBy(r.d.o.Node, ErrShutdown.Msg), true, true
	case err != nil:
		r.log.ErrorContext(r.base, "the clean-up failed", "error", fault.Detail(err))
		return job.RetryAt(r.d.o.Node, err, r.d.o.Now().Add(r.d.o.pause(3))), false, true
	}
	return c, false, true
}

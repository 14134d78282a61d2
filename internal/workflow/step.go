package workflow

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// step runs one step to its end, over its attempts. The error is not nil only if
// the state could not be stored, or ctx is done: then the step is as it was.
func (r *run) step(ctx context.Context, i int) error {
	s := &r.plan.Steps[i]
	x, err := r.e.executor(s)
	if err != nil {
		return r.end(ctx, i, job.StepFailed, err, "")
	}
	defer r.board.remove(i)
	for {
		if err := r.start(ctx, i); err != nil {
			return err
		}
		out, err := r.execute(ctx, i, x)
		switch {
		case err == nil:
			r.mu.Lock()
			r.outcomes[i] = out
			r.states[i].Artifacts = out.Artifacts
			r.mu.Unlock()
			return r.end(ctx, i, job.StepCompleted, nil, "")
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		if dispatch.IsHostFull(err) {
			return r.yield(ctx, i, err)
		}
		r.log.WarnContext(ctx, "a step failed", "step", s.ID, "attempt", r.attempt(i), "error", fault.Detail(err))
		if !fault.KindOf(err).Retryable() || r.finallyTime > 0 || r.attempt(i) >= s.Attempts() {
			if cerr := r.clean(ctx, i, x); cerr != nil {
				r.log.WarnContext(ctx, "the clean-up of a step failed; it is done again with the job", "step", s.ID, "error", fault.Detail(cerr))
			}
			return r.end(ctx, i, job.StepFailed, err, "")
		}
		if err := r.pause(ctx, i, err); err != nil {
			return err
		}
	}
}

// start begins an attempt, unless a crash came in the middle of one: that one
// goes on.
func (r *run) start(ctx context.Context, i int) error {
	r.mu.Lock()
	if r.states[i].State == job.StepRunning {
		r.mu.Unlock()
		return nil
	}
	r.states[i].Begin(time.Now())
	r.states[i].Error, r.states[i].Reason = nil, ""
	r.mu.Unlock()
	return r.save(ctx, i)
}

// yield makes a step as it was before an attempt whose host had no free slot.
func (r *run) yield(ctx context.Context, i int, full error) error {
	r.mu.Lock()
	st := &r.states[i]
	st.State, st.Attempt = job.StepPending, st.Attempt-1
	if st.Attempt == 0 {
		st.StartedAt = nil
	}
	st.Reason = fault.As(full).Msg
	r.mu.Unlock()
	if err := r.save(ctx, i); err != nil {
		return err
	}
	return full
}

// pause keeps the failed attempt and waits for the next one.
func (r *run) pause(ctx context.Context, i int, err error) error {
	r.mu.Lock()
	r.states[i].State, r.states[i].Error = job.StepPending, job.FailureOf(err)
	r.mu.Unlock()
	if r.t.Hosts != nil {
		if err := r.t.Hosts.Of(r.plan.Steps[i].ID).Free(ctx); err != nil {
			return err
		}
	}
	if err := r.save(ctx, i); err != nil {
		return err
	}
	r.board.set(i, r.plan.Steps[i].ID, job.Progress{Phase: "waiting to try again"})
	timer := time.NewTimer(r.e.jitter(r.plan.Steps[i].Pause(r.attempt(i))))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// end makes the step's state final.
func (r *run) end(ctx context.Context, i int, state job.StepStatus, err error, reason string) error {
	r.mu.Lock()
	st := &r.states[i]
	st.End(state, err, reason, time.Now())
	var took time.Duration
	if st.StartedAt != nil {
		took = max(0, st.FinishedAt.Sub(*st.StartedAt))
	}
	r.mu.Unlock()
	if err := r.save(ctx, i); err != nil {
		return err
	}
	if r.e.Finished != nil {
		r.e.Finished(r.plan.Steps[i].Type, state, took)
	}
	return nil
}

func (r *run) save(ctx context.Context, i int) error {
	r.mu.Lock()
	st, receipt := r.states[i], r.outcomes[i].Receipt
	r.mu.Unlock()
	return r.t.Steps.Save(ctx, i, st, receipt)
}

// execute makes one attempt within the step's time.
func (r *run) execute(ctx context.Context, i int, x Executor) (o job.Outcome, err error) {
	limit, err := job.Spec{Timeout: r.plan.Steps[i].Timeout}.ParseTimeout()
	if err != nil {
		return o, err
	}
	limit = r.limit(ctx, limit)
	inner, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	if limit > 0 {
		timer := time.AfterFunc(limit, func() { stop(errStepTimeout) })
		defer timer.Stop()
	}
	traced, span := tracing.Start(inner, "step "+r.plan.Steps[i].Type, attribute.Int("hypervisord.step.number", i),
		attribute.Int("hypervisord.step.attempt", r.attempt(i)))
	err = dispatch.Protect(func() (err error) {
		o, err = x.Execute(traced, r.task(i))
		return err
	})
	span.End(err)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(inner), errStepTimeout) {
		err = errStepTimeout
	}
	return o, err
}

// limit shortens the time of a step after a cancel: those of finally must end
// before the clean-up itself runs out of time.
func (r *run) limit(ctx context.Context, d time.Duration) time.Duration {
	if r.finallyTime == 0 {
		return d
	}
	most := r.finallyTime
	if deadline, ok := ctx.Deadline(); ok {
		most = min(most, time.Until(deadline)/2)
	}
	if d == 0 || d > most {
		return max(most, time.Millisecond)
	}
	return d
}

// clean removes what a step left.
func (r *run) clean(ctx context.Context, i int, x Executor) error {
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	return dispatch.Protect(func() error { return x.Cleanup(ctx, r.task(i)) })
}

// abandon ends a step that the job's end came before, and removes what it left.
func (r *run) abandon(ctx context.Context, i int) error {
	state, began := r.state(i), r.attempt(i) > 0
	if state == job.StepCompleted {
		return nil
	}
	var ended error
	switch {
	case state.Final():
	case began:
		ended = r.end(ctx, i, job.StepCancelled, nil, "the job ended before it")
	default:
		ended = r.end(ctx, i, job.StepSkipped, nil, "the job ended before it")
	}
	if !began || ended != nil {
		return ended
	}
	x, err := r.e.executor(&r.plan.Steps[i])
	if err != nil {
		return err
	}
	return dispatch.Protect(func() error { return x.Cleanup(ctx, r.task(i)) })
}

// task is one run of one step.
func (r *run) task(i int) Task {
	s := &r.plan.Steps[i]
	r.mu.Lock()
	defer r.mu.Unlock()
	t := Task{Task: r.t, Step: *s, Parent: r.t.Job, States: slices.Clone(r.states)}
	t.Job.ID += "." + s.ID
	t.Job.Spec = s.Export()
	t.Job.Attempt = r.states[i].Attempt
	t.Token = r.tokens[i]
	t.Ledger = r.t.Ledger.Of(s.ID, t.Job.Spec.Provider)
	t.Checkpoints = checkpoints{r.t.Checkpoints, s.ID}
	t.Steps = nil
	if t.Hosts != nil {
		t.Hosts = t.Hosts.Of(s.ID)
	}
	t.SaveToken = func(ctx context.Context, token []byte) error {
		r.mu.Lock()
		r.tokens[i] = token
		r.mu.Unlock()
		return r.t.Steps.SaveToken(ctx, s.ID, token)
	}
	t.Progress = func(p job.Progress) { r.board.set(i, s.ID, p) }
	if id := s.Input.Step(); id != "" {
		input := r.outcomes[r.index[id]]
		t.Input = &input
	}
	return t
}

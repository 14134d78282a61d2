package workflow

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

// run is one run of one workflow.
type run struct {
	e           *Engine
	t           dispatch.Task
	plan        job.Plan
	index       map[string]int // of the steps, by id
	board       *board
	log         *slog.Logger
	finallyTime time.Duration // after a cancel: limits the one attempt of each step of finally; 0: not

	mu       sync.Mutex
	states   []job.StepState
	outcomes []job.Outcome
	tokens   [][]byte
}

// ended is what a step's goroutine tells: err is not nil if the workflow cannot
// go on (the store, the lease), not if the step failed.
type ended struct {
	i   int
	err error
}

// walk runs the steps [from, to) as they become ready and returns when all have
// ended. On an error the steps that run have been told to stop and have returned;
// they and those after them are as if they had been interrupted. A step whose
// host has no free slot is tried again while others run; when none is left, its
// error is that of the walk.
func (r *run) walk(ctx context.Context, from, to int) error { //nolint:gocognit,cyclop // one loop, whose states belong together
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var (
		done    = make(chan ended)
		running = map[int]bool{}
		parked  = map[int]error{} // without a slot of their host
		failed  error
	)
	again := time.NewTicker(hostPause)
	defer again.Stop()
	for {
		for progress := true; progress && failed == nil && ctx.Err() == nil; {
			progress = false
			for i := from; i < to && len(running) < maxParallel; i++ {
				if running[i] || parked[i] != nil || r.state(i).Final() || !r.ready(i) {
					continue
				}
				if why := r.skip(i); why != "" && r.state(i) == job.StepPending && r.attempt(i) == 0 {
					if failed = r.end(ctx, i, job.StepSkipped, nil, why); failed != nil {
						stop(failed)
						break
					}
					progress = true // others may be ready
					continue
				}
				running[i] = true
				go func() { done <- ended{i, dispatch.Protect(func() error { return r.step(ctx, i) })} }()
			}
		}
		if len(running) == 0 {
			break
		}
		var d ended
		select {
		case d = <-done:
		case <-again.C:
			clear(parked)
			continue
		}
		delete(running, d.i)
		if dispatch.IsHostFull(d.err) {
			parked[d.i] = d.err
			continue
		}
		if d.err != nil && failed == nil {
			failed = d.err
			stop(d.err)
		}
	}
	if failed == nil && ctx.Err() != nil {
		failed = context.Cause(ctx)
	}
	for i := from; i < to && failed == nil; i++ {
		failed = parked[i]
	}
	return failed
}

func (r *run) state(i int) job.StepStatus {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[i].State
}

func (r *run) attempt(i int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.states[i].Attempt
}

// ready tells whether all steps that come before i have ended.
func (r *run) ready(i int) bool {
	for _, id := range r.plan.Steps[i].DependsOn {
		if !r.state(r.index[id]).Final() {
			return false
		}
	}
	return true
}

// skip says why a step that is ready is not to run, "" if it is.
func (r *run) skip(i int) string {
	s := &r.plan.Steps[i]
	var deps []int
	for _, id := range s.DependsOn {
		deps = append(deps, r.index[id])
	}
	if r.plan.InFinally(i) && len(deps) == 0 && s.When != "" {
		for n := range r.plan.Main() {
			deps = append(deps, n)
		}
	}
	switch s.When {
	case job.OnFailure:
		if !slices.ContainsFunc(deps, r.broken) {
			return "no step before it failed"
		}
	case job.Always:
	default:
		for _, n := range deps {
			st := r.state(n)
			if st == job.StepSkipped && r.plan.InFinally(i) && !r.broken(n) {
				continue // its condition did not hold, which is no failure
			}
			if st != job.StepCompleted {
				return "step " + r.plan.Steps[n].ID + " is " + string(st)
			}
		}
	}
	if id := s.Input.Step(); id != "" && r.state(r.index[id]) != job.StepCompleted {
		return "its input " + string(s.Input) + " was not made"
	}
	return ""
}

// broken tells whether a step that has ended failed, or was not run because of a
// failure.
func (r *run) broken(i int) bool {
	switch r.state(i) {
	case job.StepFailed, job.StepCancelled:
		return true
	case job.StepSkipped:
		for _, id := range r.plan.Steps[i].DependsOn {
			if r.broken(r.index[id]) {
				return true
			}
		}
	case job.StepPending, job.StepRunning, job.StepCompleted:
	}
	return false
}

// outcome is that of the whole workflow.
func (r *run) outcome() (job.Outcome, error) {
	var o job.Outcome
	for i := range r.states {
		st := &r.states[i]
		if st.State == job.StepFailed && st.Error != nil {
			return job.Outcome{}, dispatch.Final(st.Error.Err("step " + st.ID + ": "))
		}
		o.Artifacts = append(o.Artifacts, st.Artifacts...)
		if o.Receipt == nil {
			o.Receipt = r.outcomes[i].Receipt
		}
	}
	return o, nil
}

package workflow

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// Engine carries out plans. It implements dispatch.Runner and service.Validator.
type Engine struct {
	Executors map[string]Executor // by type; export is required
	Log       *slog.Logger        // nil: discards
	// Finished is called after each step that ended. nil: not.
	Finished func(typ string, state job.StepStatus, took time.Duration)
	Rand     func() float64 // in [0, 1), for jitter; nil: math/rand
}

// Limits of one job.
const (
	maxParallel = 4               // steps at once
	settleTime  = 2 * time.Minute // to clean up after a step that failed
	// finallyTime is how long one step of finally may take after a cancel or a
	// time-out of the job.
	finallyTime = 2 * time.Minute
	// hostPause is how long a step waits for a slot of its host before it looks
	// again, if others of its job are at work.
	hostPause = 5 * time.Second
)

// errStepTimeout ends an attempt that took too long.
var errStepTimeout = fault.New(fault.Timeout, "HX-FLOW-020", "the step ran longer than its timeout",
	"raise its timeout, or look for what slows it down")

// Validate checks what only the executors know. Kinds Invalid, Denied,
// Unprocessable; the message names the step and its place.
func (e *Engine) Validate(ctx context.Context, s job.Spec) error {
	if !s.IsWorkflow() {
		return e.Executors["export"].Validate(ctx, s.AsStep())
	}
	steps := s.Plan().Steps
	for i := range steps {
		x, err := e.executor(&steps[i])
		if err == nil {
			err = x.Validate(ctx, steps[i])
		}
		if err != nil {
			f := fault.As(err)
			return &fault.Error{Kind: f.Kind, Code: f.Code, Msg: steps[i].Place("") + f.Msg, Fix: f.Fix, Err: f.Err}
		}
	}
	return nil
}

func (e *Engine) executor(s *job.Step) (Executor, error) {
	if x, ok := e.Executors[s.Type]; ok {
		return x, nil
	}
	return nil, fault.Newf(fault.Unprocessable, "HX-FLOW-021", "use one of: "+strings.Join(slices.Sorted(maps.Keys(e.Executors)), ", "),
		"steps of the type %.50q cannot be carried out here", s.Type)
}

// Run implements dispatch.Runner. A workflow fails when one of its steps failed
// for good, after all branches and the steps of finally have ended.
func (e *Engine) Run(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
	if !t.Job.Spec.IsWorkflow() {
		return e.Executors["export"].Execute(ctx, Task{Task: t, Step: t.Job.Spec.AsStep(), Parent: t.Job})
	}
	r, err := e.begin(ctx, t)
	if err != nil {
		return job.Outcome{}, err
	}
	main := len(r.plan.Main())
	if err := r.walk(ctx, 0, main); err != nil {
		return job.Outcome{}, err
	}
	if err := r.walk(ctx, main, len(r.plan.Steps)); err != nil {
		return job.Outcome{}, err
	}
	return r.outcome()
}

// Cleanup implements dispatch.Runner. It ends what has not ended, removes what
// was left of it, and runs the steps of finally that have not run, each for at
// most finallyTime: their failure keeps nobody from cancelling a job.
func (e *Engine) Cleanup(ctx context.Context, t dispatch.Task) error {
	if !t.Job.Spec.IsWorkflow() {
		return e.Executors["export"].Cleanup(ctx, Task{Task: t, Step: t.Job.Spec.AsStep(), Parent: t.Job})
	}
	r, err := e.begin(ctx, t)
	if err != nil {
		return err
	}
	r.finallyTime = finallyTime
	main := len(r.plan.Main())
	var errs []error
	for i := range main {
		errs = append(errs, r.abandon(ctx, i))
	}
	if ctx.Err() == nil {
		errs = append(errs, r.walk(ctx, main, len(r.plan.Steps)))
	}
	for i := main; i < len(r.plan.Steps); i++ {
		errs = append(errs, r.abandon(ctx, i))
	}
	return errors.Join(errs...)
}

func (e *Engine) begin(ctx context.Context, t dispatch.Task) (*run, error) {
	saved, err := t.Steps.Load(ctx)
	if err != nil {
		return nil, err
	}
	plan := t.Job.Spec.Plan()
	r := &run{
		e: e, t: t, plan: plan, states: plan.States(), outcomes: make([]job.Outcome, len(plan.Steps)),
		tokens: make([][]byte, len(plan.Steps)), index: map[string]int{}, log: e.Log, board: newBoard(t.Progress),
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	r.log = r.log.With("job", t.Job.ID)
	for i := range plan.Steps {
		id := plan.Steps[i].ID
		r.index[id] = i
		if rec, ok := saved[id]; ok {
			r.states[i], r.tokens[i] = rec.State, rec.Token
			r.outcomes[i] = job.Outcome{Artifacts: rec.State.Artifacts, Receipt: rec.Receipt}
		}
	}
	return r, nil
}

func (e *Engine) jitter(d time.Duration) time.Duration {
	f := rand.Float64
	if e.Rand != nil {
		f = e.Rand
	}
	return d/2 + time.Duration(f()*float64(d/2))
}

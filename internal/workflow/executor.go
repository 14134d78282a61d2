// Package workflow carries out the plan of a job: it walks the steps in the order
// of their dependencies, branches in parallel, and keeps the state of each so
// that a crash costs at most what a step did since its last checkpoint.
package workflow

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

// Executor carries out the steps of one type. Its methods are called
// concurrently, never twice at once for the same step.
type Executor interface {
	// Validate checks a step at submit, without touching the network. Kinds
	// Invalid, Denied, Unprocessable.
	Validate(ctx context.Context, s job.Step) error
	// Execute carries the step out, or goes on where an earlier run stopped. What
	// dispatch.Runner says of Run holds.
	Execute(ctx context.Context, t Task) (job.Outcome, error)
	// Cleanup removes what all runs of a step left that did not complete. What
	// dispatch.Runner says of Cleanup holds.
	Cleanup(ctx context.Context, t Task) error
}

// Task is one run of one step. Its Job has the id JOB.STEP and, as Spec, what the
// step says of its output; token, ledger and checkpoints are the step's own. For
// an export that is no workflow it is the job itself.
type Task struct {
	dispatch.Task
	Step   job.Step
	Parent job.Job         // the job as it was submitted
	Input  *job.Outcome    // what the step that Step.Input names made; nil: none
	States []job.StepState // of all steps, when this one began
}

// checkpoints are those of one step.
type checkpoints struct {
	dispatch.Checkpoints
	step string
}

func (c checkpoints) Load(ctx context.Context, disk string) (dispatch.Checkpoint, bool, error) {
	return c.Checkpoints.Load(ctx, c.step+"/"+disk)
}

func (c checkpoints) Append(ctx context.Context, disk string, offset int64, digest, record []byte) error {
	return c.Checkpoints.Append(ctx, c.step+"/"+disk, offset, digest, record)
}

func (c checkpoints) Reset(ctx context.Context, disk string) error {
	return c.Checkpoints.Reset(ctx, c.step+"/"+disk)
}

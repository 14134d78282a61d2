package step

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// Executor is the step type export. run is x, or a decorator of it.
func (x *Export) Executor(run dispatch.Runner) workflow.Executor { return &exportStep{x: x, run: run} }

type exportStep struct {
	x   *Export
	run dispatch.Runner
}

// Validate implements workflow.Executor.
func (e *exportStep) Validate(ctx context.Context, s job.Step) error {
	return e.x.Validate(ctx, s.Export())
}

// Execute implements workflow.Executor.
func (e *exportStep) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	return e.run.Run(ctx, t.Task)
}

// Cleanup implements workflow.Executor.
func (e *exportStep) Cleanup(ctx context.Context, t workflow.Task) error {
	return e.run.Cleanup(ctx, t.Task)
}

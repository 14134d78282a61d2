package step

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"log/slog"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// Convert is the step that writes the disks of an export in another format, with
// the codecs of this program. The roots of the new receipt are those of the
// export's. It implements workflow.Executor.
type Convert struct {
	Outputs Outputs
	Key     ed25519.PrivateKey
	Tool    string
	Log     *slog.Logger
}

// Validate implements workflow.Executor.
func (c *Convert) Validate(_ context.Context, s job.Step) error {
	if s.TargetFormat == "" {
		return fault.New(fault.Unprocessable, "HX-CONVERT-004", "target_format is missing", "say qcow2, raw or vmdk")
	}
	return c.Outputs.Check(s.OutputPath)
}

// Execute implements workflow.Executor.
func (c *Convert) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	x, err := c.export(&t)
	if err != nil {
		return job.Outcome{}, err
	}
	return x.Run(ctx, t.Task)
}

// Cleanup implements workflow.Executor.
func (c *Convert) Cleanup(ctx context.Context, t workflow.Task) error {
	x, err := c.export(&t)
	if err != nil {
		return err
	}
	return x.Cleanup(ctx, t.Task)
}

// Publish copies, proves and publishes what another program made of the input.
func (c *Convert) Publish(ctx context.Context, t workflow.Task, made *Stored) (job.Outcome, error) {
	x, err := c.of(&t, made)
	if err != nil {
		return job.Outcome{}, err
	}
	return x.Run(ctx, t.Task)
}

// Discard removes what a Publish left that did not get through.
func (c *Convert) Discard(ctx context.Context, t workflow.Task, made *Stored) error {
	x, err := c.of(&t, made)
	if err != nil {
		return err
	}
	return x.Cleanup(ctx, t.Task)
}

// export makes an export of what is stored already.
func (c *Convert) export(t *workflow.Task) (*Export, error) {
	in, err := OpenStored(t.Input)
	if err != nil {
		return nil, err
	}
	x, err := c.of(t, in)
	if err == nil {
		x.expect = in.Receipt
	}
	return x, err
}

// of makes an export that reads from a directory and goes where the output of
// the step goes.
func (c *Convert) of(t *workflow.Task, from *Stored) (*Export, error) {
	in, err := OpenStored(t.Input)
	if err != nil {
		return nil, err
	}
	spec := &t.Job.Spec
	spec.Provider, spec.VMPath, spec.Format, spec.ExcludeDisks = transportFile, in.Receipt.VM.Path, t.Step.TargetFormat, nil
	spec.Name, spec.OutputPath = in.Output(&t.Step)
	return &Export{
		Providers: map[string]provider.Provider{transportFile: storedProvider{from}}, Outputs: c.Outputs,
		Key: c.Key, Tool: c.Tool, Log: c.Log,
	}, nil
}

// Output is where what a step makes of the export goes, unless the step says
// otherwise: beside the export, with the step's id behind its name.
func (s *Stored) Output(step *job.Step) (name, dir string) {
	return cmp.Or(step.Name, filepath.Base(s.Dir)+"-"+step.ID), cmp.Or(step.OutputPath, filepath.Dir(s.Dir))
}

package daemon

import (
	"net/netip"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
	"github.com/hypersdk/hypersdk/internal/step"
	"github.com/hypersdk/hypersdk/internal/step/upload"
	"github.com/hypersdk/hypersdk/internal/step/webhook"
	"github.com/hypersdk/hypersdk/internal/version"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// StepsConfig is what the steps of workflows need. The zero value allows exports,
// uploads to directories, and webhooks to public addresses.
type StepsConfig struct {
	S3           *s3.Store      // nil: no uploads to s3://
	AllowPrivate []netip.Prefix // networks that webhooks may call besides public ones
	// Finished is called after each step that ended; nil: not.
	Finished func(typ string, state job.StepStatus, took time.Duration)
}

// steps makes the engine that carries out plans.
func (c *EngineConfig) steps(export *step.Export) *workflow.Engine {
	var run dispatch.Runner = export
	if c.Wrap != nil {
		run = c.Wrap(export)
	}
	return &workflow.Engine{
		Log: c.Log, Finished: c.Steps.Finished,
		Executors: map[string]workflow.Executor{
			"export":  export.Executor(run),
			"upload":  &upload.Upload{Outputs: outputs(c.Roots), S3: c.Steps.S3},
			"webhook": webhook.New(c.Steps.AllowPrivate, "hypervisord/"+version.String()),
		},
	}
}

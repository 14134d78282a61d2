package daemon

import (
	"crypto/ed25519"
	"path/filepath"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/sink/s3"
	"github.com/hypersdk/hypersdk/internal/step"
	"github.com/hypersdk/hypersdk/internal/step/boot"
	"github.com/hypersdk/hypersdk/internal/step/hyper2kvm"
	"github.com/hypersdk/hypersdk/internal/step/upload"
	"github.com/hypersdk/hypersdk/internal/step/webhook"
	"github.com/hypersdk/hypersdk/internal/version"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// StepsConfig is what the steps of workflows need. The zero value allows exports,
// and uploads to directories.
type StepsConfig struct {
	S3        *s3.Store // nil: no uploads to s3://
	Hyper2kvm hyper2kvm.Config
	// Finished is called after each step that ended; nil: not.
	Finished func(typ string, state job.StepStatus, took time.Duration)
}

// agent is what the daemon calls itself to other servers.
func agent() string { return "hypervisord/" + version.String() }

// workDir is where steps keep what is theirs while they run.
func workDir(stateDir string) string { return filepath.Join(stateDir, "work") }

// steps makes the engine that carries out plans.
func (c *EngineConfig) steps(export *step.Export, key *seal.Key) *workflow.Engine {
	var run dispatch.Runner = export
	if c.Wrap != nil {
		run = c.Wrap(export)
	}
	tool := "hypervisord " + version.String()
	public, _ := export.Key.Public().(ed25519.PublicKey)
	convert := &step.Convert{Outputs: export.Outputs, Key: export.Key, Tool: tool, Log: c.Log}
	c.Steps.Hyper2kvm.WorkDir = workDir(c.StateDir)
	return &workflow.Engine{
		Log: c.Log, Finished: c.Steps.Finished,
		Executors: map[string]workflow.Executor{
			"export":    export.Executor(run),
			"convert":   convert,
			"hyper2kvm": &hyper2kvm.Step{Config: c.Steps.Hyper2kvm, Convert: convert},
			"boot":      &boot.Boot{Outputs: export.Outputs, WorkDir: c.Steps.Hyper2kvm.WorkDir},
			"verify":    &step.Verify{Key: public},
			"upload":    &upload.Upload{Outputs: outputs(c.Roots), S3: c.Steps.S3},
			"webhook":   webhook.New(c.Webhooks.Egress.Client(), key, agent()),
		},
	}
}

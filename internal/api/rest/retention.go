package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeRetention() {
	if a.deps.Retention == nil {
		return
	}
	private(a, huma.Operation{
		OperationID: "run_retention", Method: http.MethodPost, Path: "/retention/run", Tags: tagDaemon,
		Summary: "Forget what has ended, as the configuration says",
		Description: "Safe to repeat. The daemon does it each hour by itself, for all tenants. With dry_run nothing is removed, and the answer tells what would be. " +
			"An output that is not exactly what its receipt lists is left alone.",
	}, a.runRetention)
}

type retentionInput struct {
	Body struct {
		DryRun bool `json:"dry_run,omitempty" doc:"Only tell"`
	}
}

type retentionOutput struct {
	Body RetentionReport
}

// RetentionReport tells what a pass did, or would do.
type RetentionReport struct {
	DryRun    bool               `json:"dry_run"`
	Jobs      int                `json:"jobs" doc:"Jobs forgotten, with their events"`
	Artifacts int                `json:"artifacts" doc:"Outputs removed"`
	Bytes     int64              `json:"bytes" doc:"That they held"`
	Removed   []RetainedArtifact `json:"removed" doc:"The outputs; at most 1000 are listed" nullable:"false"`
	Kept      []RetainedArtifact `json:"kept" doc:"Outputs whose time is over, but that are left alone; at most 1000 are listed" nullable:"false"`
	KeptCount int                `json:"kept_count"`
	More      bool               `json:"more" doc:"There is more to do: another pass follows"`
}

// RetainedArtifact is the output of a job, and why it goes or stays.
type RetainedArtifact struct {
	JobID  string `json:"job_id"`
	Tenant string `json:"tenant"`
	VMPath string `json:"vm_path"`
	Path   string `json:"path,omitempty"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

func (a *API) runRetention(ctx context.Context, p tenant.Principal, in *retentionInput) (*retentionOutput, error) {
	r, err := a.deps.Retention.Apply(ctx, p, in.Body.DryRun)
	if err != nil {
		return nil, err
	}
	return &retentionOutput{RetentionReport{
		DryRun: r.DryRun, Jobs: r.Jobs, Artifacts: r.Artifacts, Bytes: r.Bytes,
		Removed: retainedArtifacts(r.Removed), Kept: retainedArtifacts(r.Kept), KeptCount: r.KeptCount, More: r.More,
	}}, nil
}

func retainedArtifacts(all []service.JobArtifact) []RetainedArtifact {
	out := make([]RetainedArtifact, len(all))
	for i, a := range all {
		out[i] = RetainedArtifact(a)
	}
	return out
}

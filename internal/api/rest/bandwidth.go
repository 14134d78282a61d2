package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeBandwidth() {
	private(a, huma.Operation{
		OperationID: "set_job_bandwidth", Method: http.MethodPut, Path: "/jobs/{id}/bandwidth", Tags: tagJobs,
		Summary:     "Change how fast a job may read from its source",
		Description: "Replaces the job's limit and its windows: what is left out, it has no longer. A job that runs goes by it within two seconds. Limits of the tenant and of the daemon hold beside it.",
	}, a.setBandwidth)
}

type bandwidthInput struct {
	ID   string `path:"id" doc:"The job's id"`
	Body struct {
		BandwidthLimit   job.Bandwidth `json:"bandwidth_limit,omitempty"`
		BandwidthWindows []string      `json:"bandwidth_windows,omitempty" doc:"Hours with another limit" example:"[\"Mon-Fri 08:00-18:00 = 50MB\"]" maxItems:"32" nullable:"false"`
	}
}

func (a *API) setBandwidth(ctx context.Context, p tenant.Principal, in *bandwidthInput) (*jobOutput, error) {
	j, err := a.deps.Service.SetBandwidth(ctx, p, in.ID, in.Body.BandwidthLimit, in.Body.BandwidthWindows)
	if err != nil {
		return nil, err
	}
	return &jobOutput{j}, nil
}

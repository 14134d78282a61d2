package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeCancel() {
	private(a, huma.Operation{
		OperationID: "cancel_job", Method: http.MethodPost, Path: "/jobs/{id}/cancel", Tags: tagJobs, Summary: "Cancel a job",
		Description: "Safe to repeat without an idempotency key: the outcome tells what was so before. A job is cancelled when it has cleaned up.",
	}, a.cancelJob)
	private(a, huma.Operation{
		OperationID: "cancel_jobs", Method: http.MethodPost, Path: "/jobs/cancel", Tags: tagJobs, Summary: "Cancel several jobs",
		Description: "Safe to repeat without an idempotency key. Each job has its own outcome or error.",
	}, a.cancelJobs)
}

type cancelInput struct {
	ID   string `path:"id" doc:"The job's id"`
	Body *struct {
		Reason string `json:"reason,omitempty" doc:"Kept with the job" maxLength:"1024"`
	}
}

type cancelOutput struct {
	Body Cancellation
}

// Cancellation tells what a cancel did.
type Cancellation struct {
	JobID   string                `json:"job_id"`
	Outcome service.CancelOutcome `json:"outcome" enum:"cancelled,cancelling,already_asked,already_final" doc:"cancelled: it had not begun. cancelling: it stops and cleans up now. already_asked: it was cancelling before. already_final: it had ended before"`
	Status  job.State             `json:"status" doc:"The job's state now"`
}

func (a *API) cancelJob(ctx context.Context, p tenant.Principal, in *cancelInput) (*cancelOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	r, err := a.deps.Service.Cancel(ctx, p, in.ID, reason)
	if err != nil {
		return nil, err
	}
	return &cancelOutput{Cancellation{JobID: in.ID, Outcome: r.Outcome, Status: r.Job.State}}, nil
}

type cancelManyInput struct {
	Body struct {
		JobIDs []string `json:"job_ids" minItems:"1" maxItems:"1000" nullable:"false"`
		Reason string   `json:"reason,omitempty" doc:"Kept with each job" maxLength:"1024"`
	}
}

type cancelManyOutput struct {
	Body Cancellations
}

// Cancellations tells what became of each job of a request.
type Cancellations struct {
	Results []CancelResult `json:"results" doc:"In the order of the request" nullable:"false"`
	Failed  int            `json:"failed" doc:"How many have an error"`
}

// CancelResult is the outcome for one job, or its error.
type CancelResult struct {
	JobID   string                `json:"job_id"`
	Outcome service.CancelOutcome `json:"outcome,omitempty" enum:"cancelled,cancelling,already_asked,already_final"`
	Status  job.State             `json:"status,omitempty"`
	Error   *Item                 `json:"error,omitempty"`
}

func (a *API) cancelJobs(ctx context.Context, p tenant.Principal, in *cancelManyInput) (*cancelManyOutput, error) {
	all, err := a.deps.Service.CancelAll(ctx, p, in.Body.JobIDs, in.Body.Reason)
	if err != nil {
		return nil, err
	}
	out := &cancelManyOutput{Cancellations{Results: make([]CancelResult, len(all))}}
	for i, c := range all {
		out.Body.Results[i] = CancelResult{JobID: c.JobID, Outcome: c.Outcome, Status: c.Status}
		if e := c.Error; e != nil {
			out.Body.Results[i].Error = &Item{Code: e.Code, Message: e.Message, Fix: e.Fix}
			out.Body.Failed++
		}
	}
	return out, nil
}

package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeUpdate() {
	private(a, huma.Operation{
		OperationID: "pause_job", Method: http.MethodPost, Path: "/jobs/{id}/pause", Tags: tagJobs, Summary: "Hold a pending job back",
		Description: "It keeps its place. Pausing a paused job changes nothing; a job that runs cannot be paused.",
	}, a.pauseJob)
	private(a, huma.Operation{
		OperationID: "resume_job", Method: http.MethodPost, Path: "/jobs/{id}/resume", Tags: tagJobs, Summary: "Let a paused job go",
	}, a.resumeJob)
	private(a, huma.Operation{
		OperationID: "retry_job", Method: http.MethodPost, Path: "/jobs/{id}/retry", Tags: tagJobs, Summary: "Try a job again",
		Description: "One that failed or was cancelled runs again from nothing, with all its attempts; one that waits for its next attempt starts it at once. " +
			"Safe to repeat while the job is pending.",
	}, a.retryJob)
	private(a, huma.Operation{
		OperationID: "update_job", Method: http.MethodPatch, Path: "/jobs/{id}", Tags: tagJobs, Summary: "Change a pending job",
		Description: "Its spec keeps the priority that it was submitted with.",
	}, a.updateJob)
	private(a, huma.Operation{
		OperationID: "bulk_jobs", Method: http.MethodPost, Path: "/jobs/bulk", Tags: tagJobs, Summary: "Do one thing to all jobs that match",
		Description: "Takes the jobs that match and are in a state that the action is for, newest first, 10000 at most. " +
			"With dry_run it only counts them. If it breaks off, what it did stays: ask again.",
	}, a.bulkJobs)
}

type pauseInput struct {
	ID   string `path:"id" doc:"The job's id"`
	Body *struct {
		Reason string `json:"reason,omitempty" doc:"Kept in the job's events" maxLength:"1024"`
	}
}

func (a *API) pauseJob(ctx context.Context, p tenant.Principal, in *pauseInput) (*jobOutput, error) {
	reason := ""
	if in.Body != nil {
		reason = in.Body.Reason
	}
	return outputOf(a.deps.Service.Pause(ctx, p, in.ID, reason))
}

func (a *API) resumeJob(ctx context.Context, p tenant.Principal, in *jobInput) (*jobOutput, error) {
	return outputOf(a.deps.Service.Resume(ctx, p, in.ID))
}

func (a *API) retryJob(ctx context.Context, p tenant.Principal, in *jobInput) (*jobOutput, error) {
	return outputOf(a.deps.Service.Retry(ctx, p, in.ID))
}

type updateInput struct {
	ID   string `path:"id" doc:"The job's id"`
	Body struct {
		Priority job.Priority `json:"priority"`
	}
}

func (a *API) updateJob(ctx context.Context, p tenant.Principal, in *updateInput) (*jobOutput, error) {
	return outputOf(a.deps.Service.Prioritize(ctx, p, in.ID, in.Body.Priority))
}

func outputOf(j job.Job, err error) (*jobOutput, error) {
	if err != nil {
		return nil, err
	}
	return &jobOutput{j}, nil
}

type bulkInput struct {
	Body BulkRequest
}

// BulkRequest is one action for many jobs.
type BulkRequest struct {
	Action   string       `json:"action" enum:"cancel,retry,priority,pause,resume"`
	Filter   BulkFilter   `json:"filter" doc:"As for a query; not empty"`
	Priority job.Priority `json:"priority,omitempty" doc:"The new one, of the action priority"`
	Reason   string       `json:"reason,omitempty" doc:"Of cancel and pause" maxLength:"1024"`
	DryRun   bool         `json:"dry_run,omitempty" doc:"Only count the jobs"`
}

// BulkFilter selects jobs.
type BulkFilter struct {
	JobIDs   []string       `json:"job_ids,omitempty" doc:"Jobs by id" maxItems:"1000" nullable:"false"`
	Status   []job.State    `json:"status,omitempty" nullable:"false"`
	Priority []job.Priority `json:"priority,omitempty" nullable:"false"`
	VM       string         `json:"vm,omitempty" doc:"Inventory path or name of the VM; * stands for any text, ? for one character"`
	Since    time.Time      `json:"since,omitzero" doc:"Submitted at or after"`
	Until    time.Time      `json:"until,omitzero" doc:"Submitted before"`
}

type bulkOutput struct {
	Body BulkResult
}

// BulkResult tells what a bulk request did.
type BulkResult struct {
	DryRun    bool       `json:"dry_run,omitempty"`
	Matched   int64      `json:"matched" doc:"Jobs that match and that the action is for"`
	More      bool       `json:"more,omitempty" doc:"There are more than that: ask again for the rest"`
	Changed   int        `json:"changed"`
	Unchanged int        `json:"unchanged" doc:"It was so before"`
	Failed    int        `json:"failed"`
	Errors    []BulkItem `json:"errors" doc:"Why, for the first 100 jobs that failed" nullable:"false"`
}

// BulkItem is why one job was not changed.
type BulkItem struct {
	JobID   string `json:"job_id"`
	Code    string `json:"code,omitempty" doc:"Names the case; stable"`
	Message string `json:"message" doc:"What is wrong, and why"`
	Fix     string `json:"fix,omitempty" doc:"What to do about it"`
}

func (a *API) bulkJobs(ctx context.Context, p tenant.Principal, in *bulkInput) (*bulkOutput, error) {
	b, f := in.Body, in.Body.Filter
	r, err := a.deps.Service.Bulk(ctx, p, service.Bulk{
		Action: service.BulkAction(b.Action), Priority: b.Priority, Reason: b.Reason, DryRun: b.DryRun,
		Filter: service.Query{IDs: f.JobIDs, States: f.Status, Priorities: f.Priority, VM: f.VM, Since: f.Since, Until: f.Until},
	})
	if err != nil {
		return nil, err
	}
	out := &bulkOutput{BulkResult{
		DryRun: b.DryRun, Matched: r.Matched, More: r.More, Changed: r.Changed, Unchanged: r.Unchanged, Failed: r.Failed,
		Errors: make([]BulkItem, len(r.Errors)),
	}}
	for i, failed := range r.Errors {
		e := fault.As(failed.Error)
		out.Body.Errors[i] = BulkItem{JobID: failed.JobID, Code: e.Code, Message: e.Msg, Fix: e.Fix}
	}
	return out, nil
}

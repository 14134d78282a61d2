package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeExplain() {
	private(a, huma.Operation{
		OperationID: "explain_job", Method: http.MethodGet, Path: "/jobs/{id}/explain", Tags: tagJobs,
		Summary: "Why a job waits, what is ahead of it, and what would start it now",
	}, a.explainJob)
}

type explainOutput struct {
	Body Explanation
}

// Explanation tells why a job is not at work.
type Explanation struct {
	JobID          string        `json:"job_id"`
	Status         job.State     `json:"status"`
	Reason         string        `json:"reason,omitempty" enum:"slot,tenant_limit,host_limit,not_before,paused" doc:"Why it waits; absent if it does not"`
	Message        string        `json:"message" doc:"The same in words"`
	Detail         ExplainDetail `json:"detail"`
	EstimatedStart *time.Time    `json:"estimated_start,omitempty" doc:"If jobs take as long as the tenant's last ones; absent if unknown"`
	NextClaim      bool          `json:"next_claim" doc:"The next claim starts it: nothing need be done"`
	Remedy         []Remedy      `json:"remedy" doc:"What would make the next claim start it, all of it together; empty if that is not in sight" nullable:"false"`
}

// ExplainDetail are the numbers of an explanation.
type ExplainDetail struct {
	WorkersSize   int        `json:"workers_size" doc:"Jobs that can run at once on this node"`
	WorkersBusy   int        `json:"workers_busy"`
	TenantRunning int        `json:"tenant_running" doc:"Jobs of the tenant that hold a slot"`
	TenantLimit   int        `json:"tenant_limit" doc:"max_concurrent_jobs; 0: none"`
	Host          *HostWait  `json:"host,omitempty" doc:"The host that the job reads from, if that is known and has a limit"`
	Ahead         int        `json:"ahead" doc:"Ready jobs that start before it once nothing but workers is missing"`
	AheadIsLeast  bool       `json:"ahead_is_least,omitempty" doc:"There are as many or more: looking ahead stopped there"`
	WaitingSince  *time.Time `json:"waiting_since,omitempty" doc:"It could have started since then"`
	NotBefore     *time.Time `json:"not_before,omitempty"`
}

// HostWait is a host and what holds its slots.
type HostWait struct {
	Name   string   `json:"name" doc:"PROVIDER/HOST"`
	Limit  int      `json:"limit" doc:"max_exports_per_host"`
	Held   int      `json:"held" doc:"Exports that read from it"`
	Jobs   []string `json:"jobs" doc:"Those of the tenant" nullable:"false"`
	Others int      `json:"others" doc:"How many are of other tenants"`
	Ahead  int      `json:"ahead" doc:"Jobs that take a slot of it before this one"`
}

// Remedy is one action of a remedy.
type Remedy struct {
	Action string       `json:"action" enum:"resume,resume_tenant,retry,wait_until,priority,raise_limit,raise_host_limit,add_workers"`
	Tenant string       `json:"tenant,omitempty" doc:"Of resume_tenant and raise_limit"`
	Host   string       `json:"host,omitempty" doc:"Of raise_host_limit: PROVIDER/HOST"`
	To     job.Priority `json:"to,omitempty" doc:"Of priority"`
	N      int          `json:"n,omitempty" doc:"The new max_concurrent_jobs of raise_limit; the new max_exports_per_host of raise_host_limit; how many more workers of add_workers"`
	At     *time.Time   `json:"at,omitempty" doc:"Of wait_until"`
}

func (a *API) explainJob(ctx context.Context, p tenant.Principal, in *jobInput) (*explainOutput, error) {
	e, err := a.deps.Service.Explain(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	return &explainOutput{explanationOf(e)}, nil
}

func explanationOf(e service.Explanation) Explanation {
	v := e.Verdict
	out := Explanation{
		JobID: e.Job.ID, Status: e.Job.State, Reason: v.Reason, Message: e.Message, Remedy: make([]Remedy, len(v.Remedy)),
		NextClaim: v.Reason != "" && v.Remedy != nil && len(v.Remedy) == 0,
		Detail: ExplainDetail{
			WorkersSize: e.Workers, WorkersBusy: e.Busy, TenantRunning: e.Running, TenantLimit: e.Limit,
			Ahead: v.Ahead, NotBefore: e.Job.NotBefore,
		},
	}
	if v.Ahead < 0 {
		out.Detail.Ahead, out.Detail.AheadIsLeast = admission.Depth, true
	}
	if v.Reason == job.WaitSlot || v.Reason == job.WaitTenantLimit || v.Reason == job.WaitHostLimit {
		out.Detail.WaitingSince = &e.Job.ReadyAt
	}
	if h := e.Host; h.Limit > 0 {
		out.Detail.Host = &HostWait{Name: h.Name, Limit: h.Limit, Held: h.Held, Jobs: append([]string{}, h.Jobs...), Others: h.Others, Ahead: v.OnHost}
	}
	if !e.EstimatedStart.IsZero() {
		out.EstimatedStart = &e.EstimatedStart
	}
	for i, r := range v.Remedy {
		out.Remedy[i] = Remedy{Action: string(r.Kind), Tenant: r.Tenant, Host: r.Host, To: r.To, N: r.N}
		if !r.At.IsZero() {
			out.Remedy[i].At = &v.Remedy[i].At
		}
	}
	return out
}

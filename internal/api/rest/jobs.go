package rest

import (
	"context"
	"net/http"
	"net/url"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeJobs() {
	private(a, huma.Operation{
		OperationID: "query_jobs", Method: http.MethodPost, Path: "/jobs/query", Tags: tagJobs,
		Summary: "Find jobs", Description: "Newest first. Fields are cumulative, the values of a field alternatives; an empty object finds all.",
	}, a.queryJobs)
	private(a, huma.Operation{
		OperationID: "list_jobs", Method: http.MethodGet, Path: "/jobs", Tags: tagJobs, Summary: "List jobs, newest first",
	}, a.listJobs)
	private(a, huma.Operation{
		OperationID: "get_job", Method: http.MethodGet, Path: "/jobs/{id}", Tags: tagJobs, Summary: "Get a job",
	}, a.getJob)
	schema := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[receipt.Receipt](), true, "")
	private(a, huma.Operation{
		OperationID: "get_receipt", Method: http.MethodGet, Path: "/jobs/{id}/receipt", Tags: tagJobs,
		Summary: "Get the proof that a completed job left",
		Responses: map[string]*huma.Response{"200": {
			Description: "The receipt and its signature", Content: map[string]*huma.MediaType{mediaJSON: {Schema: signed(schema)}},
		}},
	}, a.getReceipt)
	a.routeSubmit()
}

type queryInput struct {
	Body struct {
		JobIDs   []string       `json:"job_ids,omitempty" doc:"Jobs by id" maxItems:"1000" nullable:"false"`
		Status   []job.State    `json:"status,omitempty" nullable:"false"`
		Priority []job.Priority `json:"priority,omitempty" nullable:"false"`
		VM       string         `json:"vm,omitempty" doc:"Inventory path or name of the VM; * stands for any text, ? for one character"`
		Since    time.Time      `json:"since,omitzero" doc:"Submitted at or after"`
		Until    time.Time      `json:"until,omitzero" doc:"Submitted before"`
		Limit    int            `json:"limit,omitempty" doc:"Jobs on a page; 50 unless told" minimum:"1" maximum:"1000"`
		Cursor   string         `json:"cursor,omitempty" doc:"next_cursor of the page before"`
	}
}

type queryOutput struct {
	Body JobPage
}

// JobPage is one page of a query.
type JobPage struct {
	Jobs         []job.Job `json:"jobs" nullable:"false"`
	Total        int64     `json:"total" doc:"Jobs that match, on all pages"`
	TotalIsLeast bool      `json:"total_is_least,omitempty" doc:"There are more than total: counting stopped there"`
	NextCursor   string    `json:"next_cursor,omitempty" doc:"Asks for the next page; absent on the last"`
	Timestamp    time.Time `json:"timestamp"`
}

func (a *API) queryJobs(ctx context.Context, p tenant.Principal, in *queryInput) (*queryOutput, error) {
	b := in.Body
	page, err := a.deps.Service.Query(ctx, p, service.Query{
		IDs: b.JobIDs, States: b.Status, Priorities: b.Priority, VM: b.VM,
		Since: b.Since, Until: b.Until, Limit: b.Limit, Cursor: b.Cursor,
	})
	if err != nil {
		return nil, err
	}
	return &queryOutput{JobPage{
		Jobs: jobsOf(page), Total: page.Total, TotalIsLeast: page.AtLeast,
		NextCursor: page.NextCursor, Timestamp: time.Now().UTC(),
	}}, nil
}

type listInput struct {
	Status   []job.State    `query:"status" doc:"Separated by commas" nullable:"false"`
	Priority []job.Priority `query:"priority" doc:"Separated by commas" nullable:"false"`
	VM       string         `query:"vm" doc:"Inventory path or name of the VM; * stands for any text, ? for one character"`
	Since    time.Time      `query:"since" doc:"Submitted at or after"`
	Until    time.Time      `query:"until" doc:"Submitted before"`
	Limit    int            `query:"limit" doc:"Jobs on a page; 50 unless told" minimum:"1" maximum:"1000"`
	Cursor   string         `query:"cursor" doc:"next_cursor of the page before"`
	url      url.URL
}

// Resolve keeps the request's URL for the Link header.
func (in *listInput) Resolve(hc huma.Context) []error {
	in.url = hc.URL()
	return nil
}

type listOutput struct {
	Link string `header:"Link" doc:"The next page (RFC 8288); absent on the last"`
	Body JobList
}

// JobList is one page of the list.
type JobList struct {
	Items      []job.Job `json:"items" nullable:"false"`
	NextCursor string    `json:"next_cursor,omitempty" doc:"Asks for the next page; absent on the last"`
}

func (a *API) listJobs(ctx context.Context, p tenant.Principal, in *listInput) (*listOutput, error) {
	page, err := a.deps.Service.Query(ctx, p, service.Query{
		States: in.Status, Priorities: in.Priority, VM: in.VM,
		Since: in.Since, Until: in.Until, Limit: in.Limit, Cursor: in.Cursor,
	})
	if err != nil {
		return nil, err
	}
	out := &listOutput{Body: JobList{Items: jobsOf(page), NextCursor: page.NextCursor}}
	if page.NextCursor != "" {
		q := in.url.Query()
		q.Set("cursor", page.NextCursor)
		out.Link = "</jobs?" + q.Encode() + `>; rel="next"`
	}
	return out, nil
}

// jobsOf returns the jobs of a page as JSON wants them: no jobs are [].
func jobsOf(page service.Page) []job.Job {
	if page.Jobs == nil {
		return []job.Job{}
	}
	return page.Jobs
}

type jobInput struct {
	ID string `path:"id" doc:"The job's id"`
}

type jobOutput struct {
	Body job.Job
}

func (a *API) getJob(ctx context.Context, p tenant.Principal, in *jobInput) (*jobOutput, error) {
	j, err := a.deps.Service.Get(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	return &jobOutput{j}, nil
}

// The file's own bytes are passed on: the signature is over them.
type receiptOutput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	Body        []byte
}

func (a *API) getReceipt(ctx context.Context, p tenant.Principal, in *jobInput) (*receiptOutput, error) {
	r, err := a.deps.Service.Receipt(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	return &receiptOutput{ContentType: mediaJSON, Body: r}, nil
}

// signed is the schema of a receipt file.
func signed(body *huma.Schema) *huma.Schema {
	str := &huma.Schema{Type: huma.TypeString}
	return &huma.Schema{
		Type: huma.TypeObject, Required: []string{"receipt", "signature"},
		Properties: map[string]*huma.Schema{
			"receipt": body,
			"signature": {
				Type: huma.TypeObject, Required: []string{"algorithm", "public_key", "value"},
				Properties: map[string]*huma.Schema{"algorithm": str, "public_key": str, "value": str},
			},
		},
	}
}

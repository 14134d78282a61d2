package rest

import (
	"context"
	"net/http"
	"reflect"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// batch is the key of the object form of a submit.
const batch = "jobs"

// routeSubmit leaves the body to job.DecodeSpecs: it reads YAML as well, is
// stricter than huma and names lines.
func (a *API) routeSubmit() {
	spec := a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[job.Spec](), true, "")
	list := &huma.Schema{Type: huma.TypeArray, Items: spec}
	forms := &huma.Schema{OneOf: []*huma.Schema{spec, list, {
		Type: huma.TypeObject, Properties: map[string]*huma.Schema{batch: list},
		Required: []string{batch}, AdditionalProperties: false,
	}}}
	body := &huma.RequestBody{
		Description: "One job, a list of jobs, or an object with the list. Unknown keys are refused by name.",
		Content: map[string]*huma.MediaType{
			mediaJSON:          {Schema: forms},
			"application/yaml": {Schema: forms},
		},
	}
	private(a, huma.Operation{
		OperationID: "submit_jobs", Method: http.MethodPost, Path: "/jobs/submit", Tags: tagJobs, Summary: "Submit jobs",
		Description: "Accepted jobs are durable when the answer arrives. If some are refused, the others are accepted; if all are, the answer is an error.",
		RequestBody: body, SkipValidateBody: true, DefaultStatus: http.StatusAccepted,
	}, a.submitJobs)
	delete(body.Content, "application/octet-stream") // what huma makes of RawBody
}

type submitInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

type submitOutput struct {
	Location string `header:"Location" doc:"The job, if it was one"`
	Body     Submitted
}

// Submitted is the answer to a submit.
type Submitted struct {
	JobIDs   []string `json:"job_ids" doc:"The accepted jobs, in the order of the request" nullable:"false"`
	Accepted int      `json:"accepted" doc:"How many jobs were accepted"`
	Rejected int      `json:"rejected" doc:"How many jobs were refused"`
	Errors   []Item   `json:"errors" doc:"Why, for each refused job" nullable:"false"`
}

func (a *API) submitJobs(ctx context.Context, p tenant.Principal, in *submitInput) (*submitOutput, error) {
	specs, err := job.DecodeSpecs(in.RawBody, in.ContentType)
	if err != nil {
		return nil, err
	}
	r, err := a.deps.Service.Submit(ctx, p, specs, service.SubmitOptions{IdempotencyKey: p.IdempotencyKey()})
	if err != nil {
		failed := a.problem(ctx, err)
		failed.Errors = refusals(r.Refused)
		return nil, failed
	}
	out := &submitOutput{Body: Submitted{
		JobIDs: make([]string, len(r.Jobs)), Accepted: len(r.Jobs), Rejected: len(r.Refused), Errors: refusals(r.Refused),
	}}
	for i := range r.Jobs {
		out.Body.JobIDs[i] = r.Jobs[i].ID
	}
	if len(r.Jobs) == 1 {
		out.Location = "/jobs/" + r.Jobs[0].ID
	}
	return out, nil
}

package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var tagProfiles = []string{"profiles"}

func (a *API) routeProfiles() {
	private(a, huma.Operation{
		OperationID: "list_profiles", Method: http.MethodGet, Path: "/profiles", Tags: tagProfiles, Summary: "List profiles, by id",
		Description: "Those of the tenant, and the files of the daemon, which all tenants see.",
	}, a.listProfiles)
	private(a, huma.Operation{
		OperationID: "get_profile", Method: http.MethodGet, Path: "/profiles/{id}", Tags: tagProfiles, Summary: "Get a profile",
	}, a.getProfile)
	text := &huma.Schema{Type: huma.TypeObject, Description: "name, description, extends and defaults; unknown keys are refused by name", AdditionalProperties: true}
	body := &huma.RequestBody{
		Description: "The profile as in a file", Required: true,
		Content: map[string]*huma.MediaType{mediaJSON: {Schema: text}, "application/yaml": {Schema: text}},
	}
	private(a, huma.Operation{
		OperationID: "put_profile", Method: http.MethodPut, Path: "/profiles/{id}", Tags: tagProfiles, Summary: "Make or replace a profile of the tenant",
		Description: "Jobs that were submitted with it before keep what they took from it.",
		RequestBody: body, SkipValidateBody: true,
	}, a.putProfile)
	delete(body.Content, "application/octet-stream") // what huma makes of RawBody
	private(a, huma.Operation{
		OperationID: "delete_profile", Method: http.MethodDelete, Path: "/profiles/{id}", Tags: tagProfiles, Summary: "Delete a profile of the tenant",
		Description: "The answer is what was deleted.",
	}, a.deleteProfile)
	private(a, huma.Operation{
		OperationID: "render_profile", Method: http.MethodPost, Path: "/profiles/{id}/render", Tags: tagProfiles, Summary: "Show what a job would be with a profile",
		Description: "The built-in defaults, under the chain of profiles, under the spec. Nothing is stored.",
	}, a.renderProfile)
}

// Profile is a profile as the API shows it.
type Profile struct {
	ID          string     `json:"id"`
	Name        string     `json:"name,omitempty"`
	Description string     `json:"description,omitempty"`
	Extends     string     `json:"extends,omitempty" doc:"The profile below this one"`
	Source      string     `json:"source" enum:"file,tenant" doc:"file: of the daemon, read-only, for all tenants"`
	Defaults    job.Spec   `json:"defaults" doc:"The profile's own, without those that it extends"`
	UpdatedAt   *time.Time `json:"updated_at,omitempty"`
	Problem     string     `json:"problem,omitempty" doc:"Why the file cannot be used"`
	Text        string     `json:"text,omitempty" doc:"As it was written; not in lists"`
}

func profileOf(p profile.Profile, text bool) Profile {
	out := Profile{
		ID: p.ID, Name: p.Name, Description: p.Description, Extends: p.Extends, Source: p.Source, Defaults: p.Defaults, Problem: p.Problem,
	}
	if !p.UpdatedAt.IsZero() {
		out.UpdatedAt = &p.UpdatedAt
	}
	if text {
		out.Text = p.Text
	}
	return out
}

type profilesOutput struct {
	Body Profiles
}

// Profiles is the list of all profiles.
type Profiles struct {
	Items []Profile `json:"items" nullable:"false"`
}

func (a *API) listProfiles(ctx context.Context, p tenant.Principal, _ *struct{}) (*profilesOutput, error) {
	all, err := a.deps.Service.Profiles(ctx, p)
	if err != nil {
		return nil, err
	}
	out := &profilesOutput{Profiles{Items: make([]Profile, len(all))}}
	for i := range all {
		out.Body.Items[i] = profileOf(all[i], false)
	}
	return out, nil
}

type profileInput struct {
	ID string `path:"id" doc:"The profile's id"`
}

type profileOutput struct {
	Body Profile
}

func (a *API) getProfile(ctx context.Context, p tenant.Principal, in *profileInput) (*profileOutput, error) {
	found, err := a.deps.Service.Profile(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	return &profileOutput{profileOf(found, true)}, nil
}

type putProfileInput struct {
	ID          string `path:"id" doc:"The profile's id: letters, digits, dots, dashes and underscores"`
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte
}

func (a *API) putProfile(ctx context.Context, p tenant.Principal, in *putProfileInput) (*profileOutput, error) {
	stored, err := a.deps.Service.PutProfile(ctx, p, in.ID, in.RawBody, in.ContentType)
	if err != nil {
		return nil, err
	}
	return &profileOutput{profileOf(stored, true)}, nil
}

func (a *API) deleteProfile(ctx context.Context, p tenant.Principal, in *profileInput) (*profileOutput, error) {
	was, err := a.deps.Service.DeleteProfile(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	return &profileOutput{profileOf(was, true)}, nil
}

type renderInput struct {
	ID   string `path:"id" doc:"The profile's id"`
	Body *struct {
		Spec *job.Spec `json:"spec,omitempty" doc:"A job, as far as it is known"`
	}
}

type renderOutput struct {
	Body Rendered
}

// Rendered is a job as a profile makes it.
type Rendered struct {
	Profile string   `json:"profile"`
	Chain   []string `json:"chain" doc:"The profile and what it extends, nearest first" nullable:"false"`
	Digest  string   `json:"digest" doc:"Changes when the merged defaults do"`
	Spec    job.Spec `json:"spec" doc:"What would be stored with the job"`
}

func (a *API) renderProfile(ctx context.Context, p tenant.Principal, in *renderInput) (*renderOutput, error) {
	var spec job.Spec
	if in.Body != nil && in.Body.Spec != nil {
		spec = *in.Body.Spec
	}
	r, merged, err := a.deps.Service.Render(ctx, p, in.ID, spec)
	if err != nil {
		return nil, err
	}
	return &renderOutput{Rendered{Profile: in.ID, Chain: r.Chain, Digest: r.Digest, Spec: merged}}, nil
}

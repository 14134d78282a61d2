package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// mutations are the fields of Mutation.
type mutations struct{ *Door }

// The media types of documents.
const (
	mediaJSON = "application/json"
	mediaYAML = "application/yaml"
)

// bind decodes an input object as REST decodes the same document.
func bind(in map[string]any, to any) error {
	text, err := document(in)
	if err != nil {
		return err
	}
	return job.Decode(text, mediaJSON, to, nil)
}

// refusedJobs is the refusal of all jobs of a submit, each with its own reason.
//
//nolint:errname // it is what a field was refused for
type refusedJobs struct {
	error
	all []service.Refusal
}

// Unwrap leads to the fault.
func (r *refusedJobs) Unwrap() error { return r.error }

func (m *mutations) submit(ctx context.Context, in []map[string]any, key *string) (service.SubmitResult, error) {
	text, err := json.Marshal(map[string]any{"jobs": snake(in)})
	if err != nil {
		return service.SubmitResult{}, err
	}
	specs, err := specsOf(text)
	if err != nil {
		return service.SubmitResult{}, err
	}
	return m.submitSpecs(ctx, specs, key)
}

func (m *mutations) submitSpecs(ctx context.Context, specs []job.Spec, key *string) (service.SubmitResult, error) {
	c := callOf(ctx)
	r, err := m.deps.Service.Submit(ctx, c.principal, specs, service.SubmitOptions{IdempotencyKey: cmp.Or(value(key), c.principal.IdempotencyKey())})
	if err != nil && len(r.Refused) > 0 {
		err = &refusedJobs{error: err, all: r.Refused}
	}
	return r, err
}

// specsOf decodes a list of jobs. job.DecodeSpecs would take a list with steps
// in it for a workflow.
func specsOf(text []byte) ([]job.Spec, error) {
	var list struct {
		Jobs []job.Spec `json:"jobs"`
	}
	if err := job.Decode(text, mediaJSON, &list, nil); err != nil {
		return nil, err
	}
	return list.Jobs, nil
}

func (m *mutations) SubmitJob(ctx context.Context, input map[string]any, key *string) (Job, error) {
	r, err := m.submit(ctx, []map[string]any{input}, key)
	if err != nil {
		return Job{}, err
	}
	return Job{r.Jobs[0]}, nil
}

func (m *mutations) SubmitJobs(ctx context.Context, input []map[string]any, key *string) (Submitted, error) {
	return submitted(m.submit(ctx, input, key))
}

func submitted(r service.SubmitResult, err error) (Submitted, error) {
	return Submitted{Jobs: jobsOf(r.Jobs), Errors: listed(r.Refused), Replayed: r.Replayed}, err
}

func (m *mutations) SubmitText(ctx context.Context, text string, key *string) (Submitted, error) {
	contentType := mediaYAML // "" would take a mapping in braces for JSON
	if json.Valid([]byte(text)) {
		contentType = mediaJSON
	}
	specs, err := job.DecodeSpecs([]byte(text), contentType)
	if err != nil {
		return Submitted{}, err
	}
	return submitted(m.submitSpecs(ctx, specs, key))
}

func (m *mutations) CancelJob(ctx context.Context, id string, reason *string) (Job, error) {
	r, err := m.deps.Service.Cancel(ctx, principal(ctx), id, value(reason))
	return answerOf(r.Job, err)
}

func (m *mutations) CancelJobs(ctx context.Context, ids []string, reason *string) ([]Cancellation, error) {
	all, err := m.deps.Service.CancelAll(ctx, principal(ctx), ids, value(reason))
	if err != nil {
		return nil, err
	}
	out := make([]Cancellation, len(all))
	for i := range all {
		c := &all[i]
		out[i] = Cancellation{JobID: c.JobID, Error: c.Error}
		if c.Error == nil {
			out[i].Outcome, out[i].Status = &c.Outcome, &c.Status
		}
	}
	return out, nil
}

func (m *mutations) PauseJob(ctx context.Context, id string, reason *string) (Job, error) {
	return answerOf(m.deps.Service.Pause(ctx, principal(ctx), id, value(reason)))
}

func (m *mutations) ResumeJob(ctx context.Context, id string) (Job, error) {
	return answerOf(m.deps.Service.Resume(ctx, principal(ctx), id))
}

func (m *mutations) RetryJob(ctx context.Context, id string) (Job, error) {
	return answerOf(m.deps.Service.Retry(ctx, principal(ctx), id))
}

func (m *mutations) SetJobPriority(ctx context.Context, id string, to job.Priority) (Job, error) {
	return answerOf(m.deps.Service.Prioritize(ctx, principal(ctx), id, to))
}

func (m *mutations) SetJobBandwidth(ctx context.Context, id string, limit *string, windows []string) (Job, error) {
	return answerOf(m.deps.Service.SetBandwidth(ctx, principal(ctx), id, job.Bandwidth(value(limit)), windows))
}

func (m *mutations) BulkJobs(ctx context.Context, action service.BulkAction, f JobFilter, to *job.Priority, reason *string, dry *bool) (BulkResult, error) {
	r, err := m.deps.Service.Bulk(ctx, principal(ctx), service.Bulk{
		Action: action, Filter: f.query(), Priority: value(to), Reason: value(reason), DryRun: value(dry),
	})
	if err != nil {
		return BulkResult{}, err
	}
	out := BulkResult{
		DryRun: value(dry), Matched: r.Matched, More: r.More, Changed: r.Changed, Unchanged: r.Unchanged, Failed: r.Failed,
		Errors: make([]BulkError, len(r.Errors)),
	}
	for i, e := range r.Errors {
		out.Errors[i] = BulkError{JobID: e.JobID, Error: *job.FailureOf(e.Error)}
	}
	return out, nil
}

func (m *mutations) PutProfile(ctx context.Context, id, text string) (Profile, error) {
	p, err := m.deps.Service.PutProfile(ctx, principal(ctx), id, []byte(text), mediaYAML) // JSON is YAML
	return Profile{Profile: p}, err
}

func (m *mutations) DeleteProfile(ctx context.Context, id string) (Profile, error) {
	p, err := m.deps.Service.DeleteProfile(ctx, principal(ctx), id)
	return Profile{Profile: p}, err
}

func (m *mutations) CreateSchedule(ctx context.Context, in map[string]any) (Schedule, error) {
	var d schedule.Definition
	if err := bind(in, &d); err != nil {
		return Schedule{}, err
	}
	return scheduleAnswer(m.deps.Service.CreateSchedule(ctx, principal(ctx), d))
}

func (m *mutations) SetSchedule(ctx context.Context, id string, in map[string]any) (Schedule, error) {
	var d schedule.Definition
	if err := bind(in, &d); err != nil {
		return Schedule{}, err
	}
	return scheduleAnswer(m.deps.Service.SetSchedule(ctx, principal(ctx), id, d))
}

func (m *mutations) DeleteSchedule(ctx context.Context, id string) (string, error) {
	return id, m.deps.Service.DeleteSchedule(ctx, principal(ctx), id)
}

func (m *mutations) PauseSchedule(ctx context.Context, id string) (Schedule, error) {
	return scheduleAnswer(m.deps.Service.PauseSchedule(ctx, principal(ctx), id))
}

func (m *mutations) ResumeSchedule(ctx context.Context, id string) (Schedule, error) {
	return scheduleAnswer(m.deps.Service.ResumeSchedule(ctx, principal(ctx), id))
}

func (m *mutations) RunSchedule(ctx context.Context, id string) (schedule.Run, error) {
	r, err := m.deps.Service.RunSchedule(ctx, principal(ctx), id)
	r.JobIDs = listed(r.JobIDs)
	return r, err
}

func (m *mutations) CreateTenant(ctx context.Context, id string, in *TenantInput) (Tenant, error) {
	change, err := in.change()
	if err != nil {
		return Tenant{}, err
	}
	return tenantAnswer(m.deps.Service.CreateTenant(ctx, principal(ctx), tenant.ID(id), change))
}

func (m *mutations) ChangeTenant(ctx context.Context, id string, in TenantInput) (Tenant, error) {
	change, err := in.change()
	if err != nil {
		return Tenant{}, err
	}
	return tenantAnswer(m.deps.Service.ChangeTenant(ctx, principal(ctx), tenant.ID(id), change))
}

func (m *mutations) pause(ctx context.Context, id string, paused bool) (Tenant, error) {
	return tenantAnswer(m.deps.Service.ChangeTenant(ctx, principal(ctx), tenant.ID(id), service.TenantChange{Paused: &paused}))
}

func (m *mutations) PauseTenant(ctx context.Context, id string) (Tenant, error) {
	return m.pause(ctx, id, true)
}

func (m *mutations) ResumeTenant(ctx context.Context, id string) (Tenant, error) {
	return m.pause(ctx, id, false)
}

func (m *mutations) DeleteTenant(ctx context.Context, id string) (Tenant, error) {
	return tenantAnswer(m.deps.Service.DeleteTenant(ctx, principal(ctx), tenant.ID(id)))
}

func (m *mutations) CreateKey(ctx context.Context, in service.KeyRequest, of *string) (NewKey, error) {
	return newKey(m.deps.Service.CreateKey(ctx, principal(ctx), tenant.ID(value(of)), in))
}

func newKey(made service.NewKey, err error) (NewKey, error) {
	if err != nil {
		return NewKey{}, err
	}
	made.Key.Scopes = listed(made.Key.Scopes)
	return NewKey{Secret: made.Secret.Reveal(), Key: made.Key}, nil
}

func (m *mutations) RevokeKey(ctx context.Context, id string, of *string) (tenant.Key, error) {
	k, err := m.deps.Service.RevokeKey(ctx, principal(ctx), tenant.ID(value(of)), id)
	k.Scopes = listed(k.Scopes)
	return k, err
}

func (m *mutations) RotateKey(ctx context.Context, id string, overlap *string) (NewKey, error) {
	d := service.DefaultOverlap
	if value(overlap) != "" {
		var err error
		if d, err = time.ParseDuration(*overlap); err != nil {
			return NewKey{}, fault.Newf(fault.Invalid, "HX-KEY-007", "write it as 24h or 30m", "overlap: %.50q is no duration", *overlap)
		}
	}
	return newKey(m.deps.Service.RotateKey(ctx, principal(ctx), id, d))
}

func (m *mutations) RunRetention(ctx context.Context, dry *bool) (service.RetentionReport, error) {
	if m.deps.Retention == nil {
		return service.RetentionReport{}, fault.New(fault.NotFound, "HX-GQL-017", "this daemon has no retention", "")
	}
	r, err := m.deps.Retention.Apply(ctx, principal(ctx), value(dry))
	r.Removed, r.Kept = listed(r.Removed), listed(r.Kept)
	return r, err
}

package graph

import (
	"encoding/json"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/profile"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Job is a job as the schema shows it. What the schema names as the service does
// is taken from there.
type Job struct{ job.Job }

func jobsOf(all []job.Job) []Job {
	out := make([]Job, len(all))
	for i := range all {
		out[i] = Job{all[i]}
	}
	return out
}

// answerOf makes the answer of those calls that return a job.
func answerOf(j job.Job, err error) (Job, error) { return Job{j}, err }

// VMPath is the first VM that the job exports.
func (j Job) VMPath() string { return j.Job.Spec.VM() }

// Status is the state.
func (j Job) Status() job.State { return j.State }

// Progress is a percentage, nil before there is any.
func (j Job) Progress() *float64 {
	if j.Job.Progress == nil {
		return nil
	}
	return &j.Job.Progress.Percent
}

// ProgressDetail is all that is known of the progress.
func (j Job) ProgressDetail() *job.Progress { return j.Job.Progress }

// CompletedAt is when the job ended, however that was.
func (j Job) CompletedAt() *time.Time { return j.FinishedAt }

// Error is the failure in one line.
func (j Job) Error() *string {
	if j.Job.Error == nil {
		return nil
	}
	text := j.Job.Error.Err("").Error()
	return &text
}

// Failure is the failure in its parts.
func (j Job) Failure() *job.Failure { return j.Job.Error }

// Spec is the spec as REST shows it.
func (j Job) Spec() (json.RawMessage, error) { return json.Marshal(j.Job.Spec) }

// Name of the job.
func (j Job) Name() *string { return some(j.Job.Spec.Name) }

// Provider of the VM.
func (j Job) Provider() string { return j.Job.Spec.Provider }

// Format of the export.
func (j Job) Format() string { return j.Job.Spec.Format }

// OutputPath is where the export goes.
func (j Job) OutputPath() *string { return some(j.Job.Spec.OutputPath) }

// Labels of the job.
func (j Job) Labels() map[string]string { return j.Job.Spec.Labels }

// WaitReason tells why a pending job waits.
func (j Job) WaitReason() *string { return some(j.Job.WaitReason) }

// Node that runs the job, or ran it.
func (j Job) Node() *string { return some(j.Job.Node) }

// CancelReason is what was given with the cancel.
func (j Job) CancelReason() *string { return some(j.Job.CancelReason) }

// Artifacts are never null.
func (j Job) Artifacts() []job.Artifact { return listed(j.Job.Artifacts) }

// Steps are never null.
func (j Job) Steps() []job.StepState { return listed(j.Job.Steps) }

// Event is an appended fact.
type Event struct{ event.Event }

// Data is what it tells besides its kind.
func (e Event) Data() (json.RawMessage, error) { return json.Marshal(e.Event.Data) }

// JobFilter selects jobs.
type JobFilter struct {
	IDs      []string
	Status   []job.State
	Priority []job.Priority
	VM       *string
	Since    *time.Time
	Until    *time.Time
}

func (f *JobFilter) query() service.Query {
	if f == nil {
		return service.Query{}
	}
	return service.Query{
		IDs: f.IDs, States: f.Status, Priorities: f.Priority, VM: value(f.VM), Since: value(f.Since), Until: value(f.Until),
	}
}

// value is what p points to, or the zero value.
func value[T any](p *T) T {
	if p == nil {
		return *new(T)
	}
	return *p
}

// Explanation tells why a job is not at work.
type Explanation struct{ service.Explanation }

// JobID of the job.
func (e Explanation) JobID() string { return e.Job.ID }

// Status of the job.
func (e Explanation) Status() job.State { return e.Job.State }

// Reason is one of the reasons of package job.
func (e Explanation) Reason() *string { return some(e.Verdict.Reason) }

// NextClaim tells whether nothing need be done.
func (e Explanation) NextClaim() bool {
	return e.Verdict.Reason != "" && e.Verdict.Remedy != nil && len(e.Verdict.Remedy) == 0
}

// EstimatedStart is nil if it is unknown.
func (e Explanation) EstimatedStart() *time.Time { return timeOf(e.Explanation.EstimatedStart) }

// Ahead is how many jobs go first, at least.
func (e Explanation) Ahead() int {
	if e.AheadIsLeast() {
		return admission.Depth
	}
	return e.Verdict.Ahead
}

// AheadIsLeast tells whether looking ahead stopped there.
func (e Explanation) AheadIsLeast() bool { return e.Verdict.Ahead < 0 }

// WaitingSince is since when the job could have started.
func (e Explanation) WaitingSince() *time.Time {
	if r := e.Verdict.Reason; r == job.WaitSlot || r == job.WaitTenantLimit || r == job.WaitHostLimit {
		return &e.Job.ReadyAt
	}
	return nil
}

// NotBefore of the job.
func (e Explanation) NotBefore() *time.Time { return e.Job.NotBefore }

// Remedy is what would make the next claim start the job, all of it together.
func (e Explanation) Remedy() []Remedy {
	out := make([]Remedy, len(e.Verdict.Remedy))
	for i, r := range e.Verdict.Remedy {
		out[i] = Remedy{Action: string(r.Kind), Tenant: some(r.Tenant), Host: some(r.Host), To: some(r.To), At: timeOf(r.At)}
		if r.N != 0 {
			out[i].N = &e.Verdict.Remedy[i].N
		}
	}
	return out
}

// Host is nil if it is not known, or has no limit.
func (e Explanation) Host() *HostWait {
	h := e.Explanation.Host
	if h.Limit == 0 {
		return nil
	}
	return &HostWait{Name: h.Name, Limit: h.Limit, Held: h.Held, Jobs: append([]string{}, h.Jobs...), Others: h.Others, Ahead: e.Verdict.OnHost}
}

func timeOf(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// Tenant is a tenant with its limits.
type Tenant struct{ tenant.Account }

func tenantAnswer(a tenant.Account, err error) (Tenant, error) { return Tenant{a}, err }

// The units of the limits in bytes, as in REST.
const (
	gigabyte   = 1_000_000_000
	megabitSec = 125_000 // per second
)

// MaxStorageGb is in units of 10^9 bytes.
func (t Tenant) MaxStorageGb() int64 { return t.MaxStorageBytes / gigabyte }

// MaxBandwidthMbps is in units of 10^6 bits per second.
func (t Tenant) MaxBandwidthMbps() int64 { return t.MaxBandwidthBytes / megabitSec }

// TenantInput is what may be set of a tenant.
type TenantInput struct {
	Name              *string
	Weight            *int
	Paused            *bool
	MaxConcurrentJobs *int64
	MaxQueuedJobs     *int64
	MaxStorageGb      *int64
	MaxBandwidthMbps  *int64
	StoredBytes       *int64
}

func (c *TenantInput) change() (service.TenantChange, error) {
	if c == nil {
		return service.TenantChange{}, nil
	}
	storage, err := times("maxStorageGb", c.MaxStorageGb, gigabyte)
	if err != nil {
		return service.TenantChange{}, err
	}
	bandwidth, err := times("maxBandwidthMbps", c.MaxBandwidthMbps, megabitSec)
	return service.TenantChange{
		Name: c.Name, Weight: c.Weight, Paused: c.Paused, MaxConcurrentJobs: c.MaxConcurrentJobs, MaxQueuedJobs: c.MaxQueuedJobs,
		MaxStorageBytes: storage, MaxBandwidthBytes: bandwidth, StoredBytes: c.StoredBytes,
	}, err
}

// Profile is a named set of defaults.
type Profile struct {
	profile.Profile
	inList bool // then without its text
}

// Defaults are the profile's own.
func (p Profile) Defaults() (json.RawMessage, error) { return json.Marshal(p.Profile.Defaults) }

// UpdatedAt is nil if it is unknown.
func (p Profile) UpdatedAt() *time.Time { return timeOf(p.Profile.UpdatedAt) }

// Text is the profile as it was written.
func (p Profile) Text() string {
	if p.inList {
		return ""
	}
	return p.Profile.Text
}

// Schedule says when jobs are submitted by themselves.
type Schedule struct{ schedule.Schedule }

func scheduleAnswer(s schedule.Schedule, err error) (Schedule, error) { return Schedule{s}, err }

// Name of the schedule.
func (s Schedule) Name() string { return s.Schedule.Spec.Name }

// Cron expression.
func (s Schedule) Cron() string { return s.Schedule.Spec.Cron }

// TimeZone of the expression.
func (s Schedule) TimeZone() string { return s.Schedule.Spec.TimeZone }

// Overlap policy.
func (s Schedule) Overlap() schedule.Overlap { return s.Schedule.Spec.Overlap }

// CatchUp policy.
func (s Schedule) CatchUp() schedule.CatchUp { return s.Schedule.Spec.CatchUp }

// Paused tells whether nothing runs.
func (s Schedule) Paused() bool { return s.Schedule.Spec.Paused }

// Spec is the definition as REST shows it.
func (s Schedule) Spec() (json.RawMessage, error) { return json.Marshal(s.Schedule.Spec) }

// times is n units, which must not be more than REST takes. Kind Invalid.
func times(name string, n *int64, unit int64) (*int64, error) {
	if n == nil {
		return nil, nil //nolint:nilnil // nil leaves the limit as it is
	}
	if *n < 0 || *n > maxUnits {
		return nil, fault.Newf(fault.Invalid, "HX-GQL-007", "0 stands for no limit", "%s must be between 0 and %d", name, int64(maxUnits))
	}
	v := *n * unit
	return &v, nil
}

const maxUnits = 1_000_000_000

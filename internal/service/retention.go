package service

import (
	"context"
	"fmt"
	"log/slog"
	"path"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// RetentionPolicy says how long what has ended is kept. Zero values keep it.
type RetentionPolicy struct {
	Jobs          time.Duration // jobs and their events, since they ended
	ArtifactAge   time.Duration // artifacts, since their job completed
	ArtifactCount int           // newest artifacts of each vm_path of a tenant
}

func (p RetentionPolicy) artifacts() bool { return p.ArtifactAge > 0 || p.ArtifactCount > 0 }

// Bounds of one pass.
const (
	retentionEvery = time.Hour
	retentionFirst = 5 * time.Minute // after the start, which has enough to do
	retentionAgain = time.Minute     // if a pass was not enough
	artifactPage   = 100
	maxExamined    = 10_000 // artifacts of one pass
	maxListed      = 1000   // in a report
	jobBatch       = 200    // that one transaction deletes
	maxDeleted     = 10_000 // jobs of one pass
)

// RetentionReport tells what a pass did, or would do.
type RetentionReport struct {
	DryRun    bool
	Jobs      int           // forgotten, with their events
	Artifacts int           // outputs removed
	Bytes     int64         // that they held
	Removed   []JobArtifact // the first maxListed of them
	Kept      []JobArtifact // selected, but left alone; the first maxListed
	KeptCount int
	More      bool // the pass was not enough: another follows
}

// JobArtifact is the output of a job, and why it goes or stays.
type JobArtifact struct {
	JobID, Tenant, VMPath, Path string
	Bytes                       int64
	Reason                      string
}

// RetentionHooks observe the passes that are no dry runs. May be nil.
type RetentionHooks struct {
	Passed func(r RetentionReport)
}

// Retention forgets what has ended, by a policy for all tenants.
type Retention struct {
	store  RetentionStore
	remove ArtifactRemover
	policy RetentionPolicy
	hooks  RetentionHooks
	now    func() time.Time
	log    *slog.Logger
	turn   chan struct{} // holds a token while a pass is at work

	repeats *repeats
}

// NewRetention makes a Retention. now nil: time.Now.
func NewRetention(store RetentionStore, remove ArtifactRemover, p RetentionPolicy, hooks RetentionHooks, now func() time.Time, log *slog.Logger) *Retention {
	if now == nil {
		now = time.Now
	}
	return &Retention{store: store, remove: remove, policy: p, hooks: hooks, now: now, log: log, turn: make(chan struct{}, 1), repeats: newRepeats(store, nil)}
}

// Run makes a pass each hour until ctx is done; then it returns nil.
func (x *Retention) Run(ctx context.Context) error {
	if x.policy.Jobs <= 0 && !x.policy.artifacts() {
		<-ctx.Done()
		return nil
	}
	timer := time.NewTimer(retentionFirst)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		r, err := x.pass(ctx, "retention", false)
		if err != nil && ctx.Err() == nil {
			x.log.ErrorContext(ctx, "retention stopped", "error", fault.Detail(err))
		}
		if r.Jobs+r.Artifacts+r.KeptCount > 0 {
			x.log.InfoContext(ctx, "retention", "jobs", r.Jobs, "artifacts", r.Artifacts, "bytes", r.Bytes, "kept", r.KeptCount)
		}
		if r.More {
			timer.Reset(retentionAgain)
		} else {
			timer.Reset(retentionEvery)
		}
	}
}

// Apply makes a pass now, or with dry tells what it would do. Kind Denied without
// the permission, which is one over all tenants; Conflict while another pass is at
// work. Under an idempotency key the report is remembered when the pass is over: one
// that broke off is made again, and reports what was left.
func (x *Retention) Apply(ctx context.Context, p tenant.Principal, dry bool) (RetentionReport, error) {
	scope, err := p.Scope(tenant.RetentionRun)
	if err != nil {
		return RetentionReport{}, err
	}
	if dry {
		return x.pass(ctx, scope.Actor(), true)
	}
	var r RetentionReport
	q := request{operation: "run_retention", steps: true}
	_, err = once(ctx, x.repeats, p, q, &r, func(o *tenant.Once) error {
		if r, err = x.pass(ctx, scope.Actor(), false); err != nil || o == nil {
			return err
		}
		return x.store.Remember(ctx, o)
	})
	return r, err
}

// pass removes artifacts first: a job that has none left may be forgotten then.
func (x *Retention) pass(ctx context.Context, actor string, dry bool) (r RetentionReport, err error) {
	select {
	case x.turn <- struct{}{}:
		defer func() { <-x.turn }()
	default:
		return r, fault.New(fault.Conflict, "HX-RETAIN-001", "a pass is at work", "try again in a minute")
	}
	r.DryRun = dry
	if x.policy.artifacts() {
		err = x.artifacts(ctx, actor, &r)
	}
	if err == nil && x.policy.Jobs > 0 {
		err = x.jobs(ctx, actor, &r)
	}
	if x.hooks.Passed != nil && !dry {
		x.hooks.Passed(r)
	}
	return r, err
}

// artifacts goes through what the rule selects, in the order of submission.
func (x *Retention) artifacts(ctx context.Context, actor string, r *RetentionReport) error {
	rule := ArtifactRule{Keep: x.policy.ArtifactCount}
	if x.policy.ArtifactAge > 0 {
		rule.Before = x.now().Add(-x.policy.ArtifactAge)
	}
	after := int64(0)
	for examined := 0; ; {
		page, err := x.store.OldArtifacts(ctx, rule, after, artifactPage)
		if err != nil {
			return err
		}
		for _, j := range page {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			after = j.Seq
			if err := x.one(ctx, j, x.why(j, rule), actor, r); err != nil {
				return err
			}
		}
		if len(page) < artifactPage {
			return nil
		}
		if examined += len(page); examined >= maxExamined {
			r.More = true
			return nil
		}
	}
}

func (x *Retention) why(j job.Job, rule ArtifactRule) string {
	if j.FinishedAt != nil && j.FinishedAt.Before(rule.Before) {
		return fmt.Sprintf("completed more than %s ago", x.policy.ArtifactAge)
	}
	return fmt.Sprintf("%d newer ones of the VM are kept", rule.Keep)
}

// one removes the artifacts of one job, or notes why they stay.
func (x *Retention) one(ctx context.Context, j job.Job, reason, actor string, r *RetentionReport) error {
	a := JobArtifact{JobID: j.ID, Tenant: j.Tenant, VMPath: j.Spec.VMPath, Reason: reason}
	if len(j.Artifacts) > 0 {
		a.Path = path.Dir(j.Artifacts[0].Path)
	}
	bytes, err := x.remove.Remove(ctx, j, r.DryRun)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		x.log.WarnContext(ctx, "artifacts are left", "job", j.ID, "path", a.Path, "error", fault.Detail(err))
		a.Reason = fault.As(err).Msg
		if r.KeptCount++; len(r.Kept) < maxListed {
			r.Kept = append(r.Kept, a)
		}
		return nil
	case err != nil:
		a.Reason = "somebody removed it before"
	}
	a.Bytes = bytes
	r.Artifacts, r.Bytes = r.Artifacts+1, r.Bytes+bytes
	if len(r.Removed) < maxListed {
		r.Removed = append(r.Removed, a)
	}
	if r.DryRun {
		return nil
	}
	return x.store.ArtifactsRemoved(ctx, j.ID, actor, a.Reason)
}

// jobs forgets old jobs in batches.
func (x *Retention) jobs(ctx context.Context, actor string, r *RetentionReport) error {
	rule := JobRule{Before: x.now().Add(-x.policy.Jobs), KeepArtifacts: x.policy.artifacts()}
	if r.DryRun {
		n, err := x.store.CountOldJobs(ctx, rule, maxDeleted)
		r.Jobs = n
		r.More = r.More || n == maxDeleted
		return err
	}
	for r.Jobs < maxDeleted {
		n, err := x.store.DeleteOldJobs(ctx, rule, actor, jobBatch)
		r.Jobs += n
		if err != nil || n < jobBatch {
			return err
		}
	}
	r.More = true
	return nil
}

package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Pause holds a pending job back until it is resumed; it keeps its place. Kind
// Conflict for a job that runs or has ended. Pausing a paused job changes
// nothing.
func (s *Service) Pause(ctx context.Context, p tenant.Principal, id, reason string) (job.Job, error) {
	if err := checkReason(reason); err != nil {
		return job.Job{}, err
	}
	return s.change(ctx, p, id, "pause_job", job.PauseBy("", reason))
}

// Resume lets a paused job go. Kind Conflict for one that is not pending.
func (s *Service) Resume(ctx context.Context, p tenant.Principal, id string) (job.Job, error) {
	return s.change(ctx, p, id, "resume_job", job.ResumeBy(""))
}

// Prioritize gives a pending job another priority; its spec keeps the one that it
// was submitted with. Kinds: Invalid (no priority), Conflict (not pending).
func (s *Service) Prioritize(ctx context.Context, p tenant.Principal, id string, to job.Priority) (job.Job, error) {
	if err := checkPriority(to); err != nil {
		return job.Job{}, err
	}
	return s.change(ctx, p, id, "update_job", job.PrioritizeBy("", to))
}

// Retry runs a job again that failed or was cancelled, with fresh attempts and
// from nothing; one that waits for its next attempt starts it without waiting.
// Kind Conflict for a job that runs or has completed.
func (s *Service) Retry(ctx context.Context, p tenant.Principal, id string) (job.Job, error) {
	return s.change(ctx, p, id, "retry_job", job.RestartBy(""))
}

func (s *Service) change(ctx context.Context, p tenant.Principal, id, operation string, c job.Change) (j job.Job, err error) {
	scope, err := p.Scope(tenant.JobUpdate)
	if err != nil {
		return job.Job{}, err
	}
	q := request{operation: operation, of: []any{id, c.Reason, c.Priority}}
	change := func(o *tenant.Once) error {
		return s.store.Update(ctx, scope.Under(o), func(tx Tx) (err error) {
			j, _, err = tx.Change(id, c)
			return err
		})
	}
	_, err = updateThen(ctx, s, p, q, &j, change, func() (err error) {
		j, err = s.store.Reader(scope).Job(ctx, id) // with the reason why it waits
		j.Spec = j.Spec.Shown()
		return err
	})
	if err != nil {
		return job.Job{}, err
	}
	return j, nil
}

func checkReason(reason string) error {
	if len(reason) > MaxReason {
		return fault.Newf(fault.Invalid, "HX-JOB-030", "shorten it",
			"the reason is longer than %d bytes", MaxReason)
	}
	return nil
}

func checkPriority(p job.Priority) error {
	if !p.Valid() {
		return fault.Newf(fault.Invalid, "HX-JOB-024", "one of "+job.PriorityNames(), "%q is no priority", p)
	}
	return nil
}

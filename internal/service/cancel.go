package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// CancelOutcome tells what a cancel did.
type CancelOutcome string

// The outcomes. All are successes: asking again is harmless.
const (
	CancelDone     CancelOutcome = "cancelled"     // it had not begun: cancelled at once
	CancelAccepted CancelOutcome = "cancelling"    // it stops and cleans up now
	CancelRepeated CancelOutcome = "already_asked" // it was cancelling before
	CancelTooLate  CancelOutcome = "already_final" // it had ended before; Job tells how
)

// CancelResult is the answer to a cancel.
type CancelResult struct {
	Job     job.Job
	Outcome CancelOutcome
}

// MaxReason is the length of a cancel reason in bytes.
const MaxReason = 1024

// Cancel asks a job to stop. A job that never ran is cancelled at once; one that
// runs, or ran before, becomes cancelling and is cancelled when its side effects
// are gone. A job that ended stays as it is. Cancel is idempotent: the first
// reason stays.
func (s *Service) Cancel(ctx context.Context, p tenant.Principal, id, reason string) (CancelResult, error) {
	scope, err := p.Scope(tenant.JobCancel)
	if err != nil {
		return CancelResult{}, err
	}
	if err := checkReason(reason); err != nil {
		return CancelResult{}, err
	}
	var r CancelResult
	replayed, err := update(ctx, s, p, scope, request{operation: "cancel_job", of: []string{id, reason}}, &r, func(tx Tx) error {
		j, changed, err := tx.Cancel(id, reason)
		r = CancelResult{Job: j, Outcome: outcomeOf(j.State, changed)}
		return err
	})
	if err != nil {
		return CancelResult{}, err
	}
	if h := s.deps.Hooks.Cancelled; h != nil && r.Outcome == CancelDone && !replayed {
		h(r.Job)
	}
	return r, nil
}

func outcomeOf(s job.State, changed bool) CancelOutcome {
	switch {
	case changed && s == job.Cancelled:
		return CancelDone
	case changed:
		return CancelAccepted
	case s == job.Cancelling:
		return CancelRepeated
	}
	return CancelTooLate
}

package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Cancellation is what a cancel of several jobs did to one of them: an outcome, or
// an error.
type Cancellation struct {
	JobID   string
	Outcome CancelOutcome
	Status  job.State
	Error   *job.Failure
}

// CancelAll cancels jobs as Cancel does, in the order of ids and some hundred in one
// transaction. What cannot be cancelled has its error; the others are. If it breaks
// off, what it did stays, and it may be asked again. Kind Invalid for no ids or more
// than MaxLimit.
func (s *Service) CancelAll(ctx context.Context, p tenant.Principal, ids []string, reason string) ([]Cancellation, error) {
	scope, err := p.Scope(tenant.JobCancel)
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 || len(ids) > MaxLimit {
		return nil, fault.Newf(fault.Invalid, "HX-JOB-031", "name some, or ask in parts", "the request names %d jobs; 1 to %d are allowed", len(ids), MaxLimit)
	}
	if err := checkReason(reason); err != nil {
		return nil, err
	}
	var done []Cancellation
	q := request{operation: "cancel_jobs", of: []any{ids, reason}, steps: true}
	_, err = once(ctx, s.repeats, p, q, &done, func(o *tenant.Once) error {
		for len(done) < len(ids) {
			if err := s.cancelSome(ctx, scope, ids, reason, o, &done); err != nil || o != nil && o.Found != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// cancelSome cancels the jobs that follow those that are done, in one transaction.
func (s *Service) cancelSome(ctx context.Context, scope tenant.Scope, ids []string, reason string, o *tenant.Once, done *[]Cancellation) error {
	was, begin := *done, len(*done)
	end := min(len(ids), begin+bulkBatch)
	if o != nil {
		o.More = end < len(ids)
	}
	var ended []job.Job
	err := s.store.Update(ctx, scope.Under(o), func(tx Tx) error {
		*done, ended = was[:begin:begin], nil
		for _, id := range ids[begin:end] {
			j, changed, err := tx.Cancel(id, reason)
			c := Cancellation{JobID: id, Outcome: outcomeOf(j.State, changed), Status: j.State}
			switch {
			case fault.Is(err, fault.NotFound), fault.Is(err, fault.Conflict):
				c = Cancellation{JobID: id, Error: job.FailureOf(err)}
			case err != nil:
				return err
			case c.Outcome == CancelDone:
				ended = append(ended, j)
			}
			*done = append(*done, c)
		}
		return nil
	})
	if err != nil {
		*done = was
		return err
	}
	if o != nil {
		o.Steps++
	}
	if h := s.deps.Hooks.Cancelled; h != nil {
		for i := range ended {
			h(ended[i])
		}
	}
	return nil
}

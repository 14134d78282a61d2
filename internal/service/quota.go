package service

import (
	"cmp"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// admit refuses the jobs of a request that are beyond the tenant's quotas: the
// last ones. The error is not nil if none is left.
func (r *SubmitResult) admit(tx Tx) error {
	a, waiting, err := tx.Account()
	if err != nil {
		return err
	}
	accepted, refusal := a.Admit(len(r.Jobs), waiting)
	if refusal == nil {
		return nil
	}
	refused := slices.Clone(r.Refused)
	for _, i := range r.indexes()[accepted:] {
		refused = append(refused, Refusal{Index: i, Error: job.FailureOf(refusal)})
	}
	slices.SortFunc(refused, func(a, b Refusal) int { return cmp.Compare(a.Index, b.Index) })
	*r = SubmitResult{Jobs: r.Jobs[:accepted:accepted], Refused: refused}
	if accepted > 0 {
		return nil
	}
	if e := fault.As(refusal); len(refused) > 1 {
		return fault.Newf(e.Kind, e.Code, e.Fix, "all %d jobs were refused; %s", len(refused), e.Msg)
	}
	return refusal
}

// indexes returns the positions of the jobs in the request: those that were not
// refused.
func (r *SubmitResult) indexes() []int {
	var all []int
	refused := r.Refused
	for i := range len(r.Jobs) + len(r.Refused) {
		if len(refused) > 0 && refused[0].Index == i {
			refused = refused[1:]
			continue
		}
		all = append(all, i)
	}
	return all
}

// observeRefused tells of the jobs that a quota kept out.
func (s *Service) observeRefused(r SubmitResult) {
	if s.deps.Hooks.Refused == nil || r.Replayed {
		return
	}
	for _, refused := range r.Refused {
		if quota := tenant.Quota(refused.Error.Code); quota != "" {
			s.deps.Hooks.Refused(quota)
		}
	}
}

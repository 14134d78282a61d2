package service

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Status is the state of the engine as the caller's tenant sees it.
type Status struct {
	Jobs       map[job.State]int64 // every state is present
	Workers    int                 // jobs that can run at once on this node
	Busy       int                 // workers at work
	Bounds     admission.Bounds    // between which Workers changes
	SizeReason string              // why Workers is what it is
	OldestWait time.Duration       // of the job that waits longest and could run
}

// Status counts the tenant's jobs and tells how busy this node is.
func (s *Service) Status(ctx context.Context, p tenant.Principal) (Status, error) {
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return Status{}, err
	}
	counts, oldest, err := s.store.Reader(scope).Backlog(ctx)
	if err != nil {
		return Status{}, err
	}
	st := Status{Jobs: make(map[job.State]int64)}
	for _, state := range job.States() {
		st.Jobs[state] = counts[state]
	}
	if !oldest.IsZero() {
		st.OldestWait = max(0, s.deps.Now().Sub(oldest))
	}
	if s.deps.Pool != nil {
		st.Workers, st.Busy = s.deps.Pool.Workers()
		bounds, scaling := s.deps.Pool.Scaling()
		st.Bounds, st.SizeReason = bounds, scaling.Reason
	}
	return st, nil
}

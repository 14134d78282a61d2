package service

import (
	"context"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Waits is what the store knows about why a job waits.
type Waits struct {
	Job     job.Job
	Verdict admission.Verdict // of a pending job
	Running int               // jobs of the tenant that hold a slot
	Limit   int               // max_concurrent_jobs of the tenant; 0: none
	Host    HostWait          // that the job reads from; zero: not known, or without a limit
	Took    time.Duration     // of the tenant's last completed jobs, on average; 0: unknown
}

// HostWait is a host as a job sees it that waits for one of its slots.
type HostWait struct {
	Name   string // PROVIDER/HOST
	Limit  int
	Held   int
	Jobs   []string // of the tenant that hold a slot, in the order in which they took it
	Others int      // jobs of other tenants that do
}

// Explanation tells why a job is not at work.
type Explanation struct {
	Waits
	Workers int // jobs that can run at once on this node
	Busy    int // workers at work
	Message string
	// EstimatedStart assumes that jobs take as long as the last ones did; zero if
	// nothing is known, or if the job does not start by itself.
	EstimatedStart time.Time
}

// Explain tells why a job waits, what is ahead of it, and what would start it at
// the next claim. Of a job that does not wait it tells just that.
func (s *Service) Explain(ctx context.Context, p tenant.Principal, id string) (Explanation, error) {
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return Explanation{}, err
	}
	var e Explanation
	if s.deps.Pool != nil {
		e.Workers, e.Busy = s.deps.Pool.Workers()
	}
	if e.Waits, err = s.store.Reader(scope).Explain(ctx, id, max(0, e.Workers-e.Busy)); err != nil {
		return Explanation{}, err
	}
	e.Message = e.message()
	e.EstimatedStart = e.estimate(s.deps.Now())
	return e, nil
}

// message puts the reason into a sentence.
func (e *Explanation) message() string {
	j := e.Job
	switch e.Verdict.Reason {
	case job.WaitPaused:
		if j.Paused {
			return "the job is paused"
		}
		return "the tenant is paused"
	case job.WaitNotBefore:
		if j.Retrying() {
			return fmt.Sprintf("attempt %d of %d failed; the next one begins at %s", j.Attempt, j.MaxAttempts, j.NotBefore.Format(time.RFC3339))
		}
		return "the job is not to start before " + j.NotBefore.Format(time.RFC3339)
	case job.WaitTenantLimit:
		return fmt.Sprintf("the tenant runs %d jobs and may run %d at once", e.Running, e.Limit)
	case job.WaitHostLimit:
		return fmt.Sprintf("the host %s serves %d exports and may serve %d at once", e.Host.Name, e.Host.Held, e.Host.Limit)
	case job.WaitSlot:
		return fmt.Sprintf("%d of %d workers are busy and %s", e.Busy, e.Workers, e.ahead())
	}
	return "the job does not wait: it is " + string(j.State)
}

func (e *Explanation) ahead() string {
	switch n := e.Verdict.Ahead; n {
	case -1:
		return fmt.Sprintf("at least %d jobs go first", admission.Depth)
	case 0:
		return "the job is next"
	case 1:
		return "1 job goes first"
	default:
		return fmt.Sprintf("%d jobs go first", n)
	}
}

// estimate reckons that the workers go on as they did.
func (e *Explanation) estimate(now time.Time) time.Time {
	v := e.Verdict
	if v.Reason == "" || v.Reason == job.WaitPaused || v.Ahead < 0 || e.Workers <= 0 {
		return time.Time{}
	}
	ends := max(0, v.Ahead+1-max(0, e.Workers-e.Busy)) // runs that must end before
	if v.Reason == job.WaitTenantLimit {
		ends = max(ends, e.Workers/max(1, e.Limit))
	}
	rounds := 0 // of the host's slots, all of which must end before
	if v.Reason == job.WaitHostLimit {
		rounds = 1 + v.OnHost/max(1, e.Host.Limit)
	}
	if ends+rounds > 0 && e.Took <= 0 {
		return time.Time{}
	}
	at := now.Add(max(time.Duration(ends)*e.Took/time.Duration(e.Workers), time.Duration(rounds)*e.Took))
	if e.Job.NotBefore != nil && e.Job.NotBefore.After(at) {
		at = *e.Job.NotBefore
	}
	return at.UTC().Truncate(time.Second)
}

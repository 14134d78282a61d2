package step

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/limit"
)

// Bandwidth tells what limits a job now: its own limit, which may be changed
// while it runs, and its tenant's.
type Bandwidth interface {
	Bandwidth(ctx context.Context, jobID string) (own, ofTenant limit.Plan, err error)
}

// askEvery is how often a run looks for changed limits.
const askEvery = time.Second

// pace are the limits of one run. The zero value has none and counts only.
type pace struct {
	chain *limit.Chain
	bytes atomic.Int64 // over the wire

	mu     sync.Mutex
	looked time.Time
	held   string // what Progress.LimitedBy showed last
}

// wait is provider.OpenOptions.Limit.
func (p *pace) wait(ctx context.Context, n int) error {
	p.bytes.Add(int64(n))
	if p.chain == nil {
		return nil
	}
	return p.chain.Wait(ctx, n)
}

// limitedBy says which limit holds the run up. Asked again too soon to tell, it says
// the same.
func (p *pace) limitedBy(now time.Time) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.chain == nil || now.Sub(p.looked) < meterTick/4 {
		return p.held
	}
	p.held = ""
	if level, ok := p.chain.Holds(now.Sub(p.looked)); ok {
		p.held = "bandwidth (" + level.String() + ")"
		if part, whole := p.chain.Share(level); part < 1 {
			p.held += fmt.Sprintf(", %.0f %% of %s/s on this node", 100*part, whole)
		}
	}
	p.looked = now
	return p.held
}

// limited begins to hold the run to its limits, as they are and as they become.
// stop must be called: it ends what limited began, and waits for it.
func (r *run) limited(ctx context.Context) (stop func()) {
	if r.x.Limits == nil {
		return func() {}
	}
	id, _, ofStep := strings.Cut(r.t.Job.ID, ".") // a step's is JOB.STEP
	chain := r.x.Limits.Join(r.t.Job.Tenant, id)
	own, err := r.t.Job.Spec.Bandwidth()
	switch {
	case err != nil: // judged at the submit
	case ofStep:
		chain.SetStep(own)
	default:
		chain.SetJob(own) // until the store has told
	}
	ask := func() {
		own, ofTenant, err := r.x.Bandwidth.Bandwidth(ctx, id)
		if err == nil {
			chain.SetJob(own)
			chain.SetTenant(ofTenant)
		} else if ctx.Err() == nil {
			r.log.WarnContext(ctx, "the job's limits could not be read; the ones before hold", "error", fault.Detail(err))
		}
	}
	ask()
	p := &r.meter.pace
	p.mu.Lock()
	p.chain, p.looked = chain, time.Now()
	p.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	var asking sync.WaitGroup
	asking.Go(func() {
		tick := time.NewTicker(askEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				ask()
			}
		}
	})
	return func() {
		cancel()
		asking.Wait()
		chain.Leave()
		p.mu.Lock()
		p.chain, p.held = nil, ""
		p.mu.Unlock()
	}
}

package dispatch

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

const (
	// applyPause is the pause before a change that could not be stored is tried
	// again.
	applyPause = 200 * time.Millisecond
	// applyAtEnd is how long to try when the process is to stop.
	applyAtEnd = 5 * time.Second
)

// apply stores the change that ends the lease. While the store does not answer
// it tries again, for as long as a lease lasts; after that the lease runs out
// and the job goes on elsewhere. It works, for less long, after a shutdown began.
func (r *run) apply(c job.Change) {
	patience := r.d.o.Lease
	if r.leaseCtx.Err() != nil {
		patience = min(patience, applyAtEnd)
	}
	ctx, cancel := context.WithTimeout(r.base, patience)
	defer cancel()
	for {
		j, err := r.d.q.Apply(ctx, r.lease, c)
		switch {
		case err == nil:
			r.observe(j, c)
			return
		case !fault.KindOf(err).Retryable() || ctx.Err() != nil:
			// Conflict: the lease is over, or an earlier try got through after all.
			r.log.ErrorContext(r.base, "the end of the run is not stored", "change", c.Trigger, "error", fault.Detail(err))
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(applyPause):
		}
	}
}

func (r *run) observe(j job.Job, c job.Change) {
	r.log.InfoContext(r.base, "job", "change", c.Trigger, "status", j.State)
	h := r.d.o.Hooks
	switch {
	case j.State.Final():
		if h.Finished != nil && j.StartedAt != nil && j.FinishedAt != nil {
			h.Finished(j, max(0, j.FinishedAt.Sub(*j.StartedAt)))
		}
	case c.Trigger == job.Retry:
		if h.Retried != nil {
			h.Retried(j)
		}
	case c.Trigger == job.Yield:
		if h.Yielded != nil {
			h.Yielded(j)
		}
	case h.Interrupted != nil:
		h.Interrupted(j)
	}
}

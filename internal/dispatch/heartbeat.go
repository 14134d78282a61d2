package dispatch

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// heartbeat renews the lease until ctx is done, carries the progress to the
// store and brings a cancel request back. When the lease was not renewed for
// four fifths of its length, by the monotonic clock of this machine, it ends the
// run: another node may take the job soon. That does not depend on the store
// answering.
func (r *run) heartbeat(ctx context.Context) {
	lease := r.d.o.Lease
	safe := lease - lease/5
	guard := time.AfterFunc(safe-time.Since(r.claimed), func() { r.endLease(ErrLeaseLost) })
	defer guard.Stop()
	tick := time.NewTicker(r.d.o.Heartbeat)
	defer tick.Stop()
	for renewed := r.claimed; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		p := r.takeProgress()
		if p == nil && time.Since(renewed) < lease/4 {
			continue
		}
		began := time.Now()
		cancel, err := r.d.q.Renew(ctx, r.lease, lease, p)
		switch {
		case err == nil:
			renewed = began
			guard.Reset(safe - time.Since(began))
			if cancel {
				r.stop(ErrCancelRequested)
			}
		case fault.Is(err, fault.Conflict):
			r.endLease(ErrLeaseLost)
			return
		default:
			r.putBack(p)
			r.d.report(ctx, "renew a lease", err)
		}
	}
}

func (r *run) takeProgress() *job.Progress {
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.progress
	r.progress = nil
	return p
}

// putBack keeps a progress that could not be stored, unless there is a newer one.
func (r *run) putBack(p *job.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.progress == nil {
		r.progress = p
	}
}

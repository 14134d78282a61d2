package vsphere

import (
	"context"
	"math/rand/v2"
	"time"
)

// backoff spaces repeated requests: each wait doubles up to most, and is drawn
// from its upper half, so that many clients do not come back at once.
type backoff struct {
	first, most time.Duration
	n           int
}

// sleep waits for the next turn. It returns the context's cause if that ends.
func (b *backoff) sleep(ctx context.Context) error {
	d := min(b.first<<min(b.n, 16), b.most)
	b.n++
	d -= rand.N(d/2 + 1) //nolint:gosec // jitter, not a secret
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// reset begins again with the shortest wait.
func (b *backoff) reset() { b.n = 0 }

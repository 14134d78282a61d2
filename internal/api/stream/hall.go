// Package stream holds what the doors' long answers have in common: how many a
// caller may have open, and when one must end though nobody hung up.
package stream

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Limits of the streams of one node.
const (
	PerPrincipal = 64
	Total        = 1024
	// Recheck is how long a credential that was withdrawn keeps its streams.
	Recheck = 30 * time.Second
)

// ErrStopping is why a stream ends when the daemon stops: the client should come
// back.
var ErrStopping = errors.New("the daemon stops")

// Hall counts the open streams of all doors. Its methods may be called
// concurrently.
type Hall struct {
	gate     *gate.Gate
	stopping context.Context //nolint:containedctx // the doors' life, not a call's

	mu    sync.Mutex
	open  map[caller]int
	total int
	inUse sync.WaitGroup
}

type caller struct {
	tenant tenant.ID
	name   string
}

// NewHall makes a Hall. When ctx is done, all streams end with ErrStopping.
func NewHall(ctx context.Context, g *gate.Gate) *Hall {
	return &Hall{gate: g, stopping: ctx, open: make(map[caller]int)}
}

// Admit counts one more stream of p, until leave is called, which may be called
// twice. Kind Exhausted.
func (h *Hall) Admit(p tenant.Principal) (leave func(), err error) {
	who := caller{p.Tenant(), p.Name()}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.open[who] >= PerPrincipal || h.total >= Total {
		return nil, fault.New(fault.Exhausted, "HX-STREAM-001", "too many streams are open", "close some, or follow all jobs by one stream")
	}
	h.open[who]++
	h.total++
	h.inUse.Add(1)
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if h.open[who]--; h.open[who] == 0 {
			delete(h.open, who)
		}
		h.total--
		h.inUse.Done()
	}), nil
}

// Guard returns a context that is done, besides when ctx is, when the daemon stops
// (the cause is ErrStopping) and when the request's credential is no longer good
// (the cause is of kind Unauthenticated or Denied). stop must be called.
func (h *Hall) Guard(ctx context.Context, r *http.Request, door string) (guarded context.Context, stop func()) {
	guarded, cancel := context.WithCancelCause(ctx)
	detach := context.AfterFunc(h.stopping, func() { cancel(ErrStopping) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(Recheck)
		defer tick.Stop()
		for {
			select {
			case <-guarded.Done():
				return
			case <-tick.C:
			}
			err := fault.Protect(func() error {
				_, err := h.gate.Again(r.WithContext(guarded), door)
				return err
			})
			if fault.Is(err, fault.Unauthenticated) || fault.Is(err, fault.Denied) {
				cancel(err)
				return
			}
		}
	}()
	return guarded, func() {
		detach()
		cancel(nil)
		<-done
	}
}

// Wait returns when no stream is open any more, or when ctx is done. Call it when
// the daemon stops: http.Server.Shutdown does not wait for WebSockets.
func (h *Hall) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		h.inUse.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

package vsphere

import (
	"context"
	"sync"
)

// limiter bounds how many streams run on each host at a time. Hosts are never
// forgotten: there are few.
type limiter struct {
	limit int
	mu    sync.Mutex
	hosts map[string]chan struct{} // one element per stream that runs
}

func newLimiter(limit int) *limiter {
	return &limiter{limit: limit, hosts: make(map[string]chan struct{})}
}

// acquire takes a slot on host; wait is called once if there is none at once.
// It returns the function that gives the slot back, or the cause of ctx's end.
func (l *limiter) acquire(ctx context.Context, host string, wait func()) (release func(), err error) {
	slots := l.slots(host)
	release = func() { <-slots }
	select {
	case slots <- struct{}{}:
		return release, nil
	default:
	}
	wait()
	select {
	case slots <- struct{}{}:
		return release, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (l *limiter) slots(host string) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	slots, ok := l.hosts[host]
	if !ok {
		slots = make(chan struct{}, l.limit)
		l.hosts[host] = slots
	}
	return slots
}

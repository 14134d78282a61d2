package limit

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// Level is where a limit stands.
type Level int

// The levels. What passes must pass all three.
const (
	Job Level = iota
	Tenant
	Global
	levels
)

// String names the level.
func (l Level) String() string { return [levels]string{"job", "tenant", "global"}[l] }

// Levels lists all levels.
func Levels() []Level { return []Level{Job, Tenant, Global} }

// Tree holds the limits of one node: a global one, one for each tenant that has
// jobs at work, and one for each of these. Its methods may be called concurrently.
type Tree struct {
	global bucket
	waited [levels]atomic.Int64 // nanoseconds, of all jobs

	mu      sync.Mutex
	tenants map[string]*shared
}

// shared is a tenant's bucket, as long as somebody uses it.
type shared struct {
	bucket
	users int
}

// NewTree makes a tree with a global plan.
func NewTree(global Plan) *Tree {
	t := &Tree{tenants: map[string]*shared{}}
	t.global.set(global)
	return t
}

// Rate returns the global rate that holds now.
func (t *Tree) Rate() Rate {
	r, _ := t.global.look()
	return r
}

// Waited returns how long transfers have waited for a level, all together.
func (t *Tree) Waited(l Level) time.Duration { return time.Duration(t.waited[l].Load()) }

// Join begins the use of the tree by one job of a tenant. Leave must follow.
func (t *Tree) Join(tenant string) *Chain {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.tenants[tenant]
	if s == nil {
		s = &shared{}
		t.tenants[tenant] = s
	}
	s.users++
	return &Chain{tree: t, tenant: tenant, shared: s}
}

// Chain are the limits that hold for one job. Its methods may be called
// concurrently.
type Chain struct {
	tree   *Tree
	tenant string
	shared *shared
	own    bucket
	waited [levels]atomic.Int64 // nanoseconds since Holds looked last
	left   sync.Once
}

// Leave ends the use of the tree. Idempotent.
func (c *Chain) Leave() {
	c.left.Do(func() {
		t := c.tree
		t.mu.Lock()
		defer t.mu.Unlock()
		if c.shared.users--; c.shared.users == 0 {
			delete(t.tenants, c.tenant)
		}
	})
}

// SetJob changes the limit of the job.
func (c *Chain) SetJob(p Plan) { c.own.set(p) }

// SetTenant changes the limit of the job's tenant, for all its jobs on this node.
func (c *Chain) SetTenant(p Plan) { c.shared.set(p) }

// Wait returns when n bytes may pass, or with the cause of ctx's end.
func (c *Chain) Wait(ctx context.Context, n int) error {
	for n > 0 {
		passed, err := c.wait(ctx, n)
		if err != nil {
			return err
		}
		n -= passed
	}
	return context.Cause(ctx)
}

// wait lets up to n bytes pass: as many as the smallest bucket gives at once, so
// that nobody waits long for a limit that has changed since.
func (c *Chain) wait(ctx context.Context, n int) (int, error) {
	buckets := [levels]*bucket{&c.own, &c.shared.bucket, &c.tree.global}
	for _, b := range buckets {
		_, most := b.look()
		n = min(n, most)
	}
	var taken [levels]*rate.Reservation
	giveBack := func() {
		for l, r := range taken {
			buckets[l].giveBack(r)
		}
	}
	delay, holds := time.Duration(0), Job
	for l, b := range buckets {
		r, d, ok := b.reserve(n)
		if !ok { // it has become smaller in between
			giveBack()
			return 0, context.Cause(ctx)
		}
		taken[l] = r
		if d > delay {
			delay, holds = d, Level(l)
		}
	}
	if delay == 0 {
		return n, nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		c.waited[holds].Add(int64(delay))
		c.tree.waited[holds].Add(int64(delay))
		return n, nil
	case <-ctx.Done():
		giveBack()
		return 0, context.Cause(ctx)
	}
}

// Holds tells which level held transfers up since it was asked last, and for how
// long, the time of parallel ones added up.
func (c *Chain) Holds() (level Level, waited time.Duration) {
	for l := range c.waited {
		if d := time.Duration(c.waited[l].Swap(0)); d > waited {
			level, waited = Level(l), d
		}
	}
	return level, waited
}

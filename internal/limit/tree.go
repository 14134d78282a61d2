package limit

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"
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
	turn  turn
	holds Level // what it waited for last; of whose turn it is
}

// NewTree makes a tree with a global plan.
func NewTree(global Plan) *Tree {
	t := &Tree{tenants: map[string]*shared{}}
	t.global.set(global)
	return t
}

// SetGlobal changes the global plan.
func (t *Tree) SetGlobal(p Plan) { t.global.set(p) }

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
		s = &shared{turn: make(turn, 1), holds: Tenant}
		t.tenants[tenant] = s
	}
	s.users++
	return &Chain{tree: t, tenant: tenant, shared: s, turn: make(turn, 1)}
}

// Chain are the limits that hold for one job. Its methods may be called
// concurrently.
type Chain struct {
	tree   *Tree
	tenant string
	shared *shared
	own    bucket
	turn   turn
	waited [levels]atomic.Int64 // nanoseconds since Holds looked last
	at     atomic.Int32         // level of the wait that goes on
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

// Wait returns when n bytes may pass, or with the cause of ctx's end. Readers of
// one job wait one after the other, and so do the jobs of one tenant: however many
// connections a job opens, or jobs a tenant submits, it has one share of what the
// level above gives.
func (c *Chain) Wait(ctx context.Context, n int) error {
	for n > 0 {
		_, own := c.own.look()
		_, tenants := c.shared.look()
		_, all := c.tree.global.look()
		piece := min(n, own, tenants, all)
		if min(own, tenants, all) != math.MaxInt {
			if err := c.waitTurn(ctx, piece); err != nil {
				return err
			}
		}
		n -= piece
	}
	return context.Cause(ctx)
}

// waitTurn waits for all limits, in the turn of the job.
func (c *Chain) waitTurn(ctx context.Context, n int) error {
	if err := c.turn.take(ctx); err != nil {
		return err
	}
	defer c.turn.leave()
	c.at.Store(int32(Job))
	r, delay := c.own.reserve(n)
	if err := sleep(ctx, delay); err != nil {
		c.own.giveBack(r)
		return err
	}
	c.count(Job, delay)
	return c.waitShared(ctx, n)
}

// waitShared waits for the limits of the tenant and of the node together.
func (c *Chain) waitShared(ctx context.Context, n int) error {
	begin := time.Now()
	c.at.Store(int32(Tenant))
	if r, _ := c.shared.look(); r == 0 {
		c.at.Store(int32(Global))
	}
	if err := c.shared.turn.take(ctx); err != nil {
		return err
	}
	defer c.shared.turn.leave()
	ofTenant, delay := c.shared.reserve(n)
	ofAll, longer := c.tree.global.reserve(n)
	switch {
	case longer > delay:
		delay, c.shared.holds = longer, Global
	case delay > 0:
		c.shared.holds = Tenant
	}
	if err := sleep(ctx, delay); err != nil {
		c.shared.giveBack(ofTenant)
		c.tree.global.giveBack(ofAll)
		return err
	}
	c.count(c.shared.holds, time.Since(begin)) // what others of the tenant waited, it waited, too
	return nil
}

func (c *Chain) count(l Level, waited time.Duration) {
	c.waited[l].Add(int64(waited))
	c.tree.waited[l].Add(int64(waited))
}

// turn lets one pass at a time, in the order of coming.
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (t turn) leave() { <-t }

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Holds tells which level held the job up for a quarter or more of the time that
// has passed since it was asked last: the one that did most, or, if a wait takes
// longer than that, the one of that wait. ok is false if none did.
func (c *Chain) Holds(passed time.Duration) (level Level, ok bool) {
	var most time.Duration
	for l := range c.waited {
		if d := time.Duration(c.waited[l].Swap(0)); d > most {
			level, most = Level(l), d
		}
	}
	if most == 0 && len(c.turn) > 0 {
		return Level(c.at.Load()), true
	}
	return level, most > 0 && most*4 >= passed
}

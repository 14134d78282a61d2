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

// The levels. What passes must pass all of them.
const (
	Step Level = iota // of a workflow
	Job
	Tenant
	Global
	levels
)

// String names the level.
func (l Level) String() string { return [levels]string{"step", "job", "tenant", "global"}[l] }

// Levels lists all levels.
func Levels() []Level { return []Level{Step, Job, Tenant, Global} }

// Tree holds the limits of one node: a global one, one for each tenant that has
// jobs at work, one for each of these, and one for each step that is at work in a
// job. Where several nodes share the first two, a Sharer says which part is this
// node's. Its methods may be called concurrently.
type Tree struct {
	global bucket
	waited [levels]atomic.Int64 // nanoseconds, of all jobs

	changed chan struct{} // a signal for the sharer

	mu      sync.Mutex
	tenants map[string]*shared
	jobs    map[string]*shared
	begin   float64 // part of a tenant that comes
}

// shared is the bucket of a tenant or a job, as long as somebody uses it.
type shared struct {
	bucket
	users int
	of    string // of a job: its tenant
	turn  turn
	holds Level // what it waited for last; of whose turn it is
}

// NewTree makes a tree with a global plan.
func NewTree(global Plan) *Tree {
	t := &Tree{tenants: map[string]*shared{}, jobs: map[string]*shared{}, changed: make(chan struct{}, 1), begin: 1}
	t.global.set(global)
	return t
}

// Shared says that a Sharer gives the node its shares of the limits. Until it has,
// next to nothing passes. Call it before the first Join.
func (t *Tree) Shared() {
	t.begin = 0
	t.global.part(0)
}

// transfers returns how many jobs of each tenant are at work.
func (t *Tree) transfers() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := map[string]int{}
	for _, s := range t.jobs {
		n[s.of]++
	}
	return n
}

// setShares changes which part of the limits is this node's.
func (t *Tree) setShares(global float64, tenants map[string]float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.global.part(global)
	for tenant, s := range t.tenants {
		s.part(tenants[tenant])
	}
}

// note wakes the sharer.
func (t *Tree) note() {
	select {
	case t.changed <- struct{}{}:
	default:
	}
}

// SetGlobal changes the global plan.
func (t *Tree) SetGlobal(p Plan) { t.global.set(p) }

// Rate returns the global rate that holds now on this node; while it has no
// transfers, that for all nodes.
func (t *Tree) Rate() Rate {
	if len(t.transfers()) == 0 {
		_, whole := t.global.share()
		return whole
	}
	r, _ := t.global.look()
	return r
}

// Waited returns how long transfers have waited for a level, all together.
func (t *Tree) Waited(l Level) time.Duration { return time.Duration(t.waited[l].Load()) }

// Join begins the use of the tree by one job of a tenant, or by one of its steps:
// those that name the same job share its limit. Leave must follow.
func (t *Tree) Join(tenant, job string) *Chain {
	t.mu.Lock()
	defer t.mu.Unlock()
	defer t.note()
	c := &Chain{
		tree: t, tenantID: tenant, jobID: job, tenant: join(t.tenants, tenant), job: join(t.jobs, job), turn: make(turn, 1),
	}
	c.job.of = tenant
	if c.tenant.users == 1 {
		c.tenant.part(t.begin)
	}
	return c
}

func join(all map[string]*shared, id string) *shared {
	s := all[id]
	if s == nil {
		s = &shared{turn: make(turn, 1), holds: Tenant}
		all[id] = s
	}
	s.users++
	return s
}

func leave(all map[string]*shared, id string) {
	if s := all[id]; s.users > 1 {
		s.users--
	} else {
		delete(all, id)
	}
}

// Chain are the limits that hold for one job, or one step of it. Its methods may
// be called concurrently.
type Chain struct {
	tree            *Tree
	tenantID, jobID string
	tenant, job     *shared
	step            bucket
	turn            turn
	waited          [levels]atomic.Int64 // nanoseconds since Holds looked last
	at              atomic.Int32         // level of the wait that goes on
	left            sync.Once
}

// Leave ends the use of the tree. Idempotent.
func (c *Chain) Leave() {
	c.left.Do(func() {
		c.tree.mu.Lock()
		defer c.tree.mu.Unlock()
		defer c.tree.note()
		leave(c.tree.tenants, c.tenantID)
		leave(c.tree.jobs, c.jobID)
	})
}

// SetStep changes the limit of the step.
func (c *Chain) SetStep(p Plan) { c.step.set(p) }

// SetJob changes the limit of the job, for all its steps.
func (c *Chain) SetJob(p Plan) { c.job.set(p) }

// SetTenant changes the limit of the job's tenant, for all its jobs on this node.
func (c *Chain) SetTenant(p Plan) { c.tenant.set(p) }

// Share returns which part of a level's limit is this node's, and the whole limit.
func (c *Chain) Share(l Level) (part float64, whole Rate) {
	return [levels]*bucket{&c.step, &c.job.bucket, &c.tenant.bucket, &c.tree.global}[l].share()
}

// Wait returns when n bytes may pass, or with the cause of ctx's end. Readers of
// one step wait one after the other, and so do the steps of one job and the jobs of
// one tenant: however many connections a step opens, steps a job has, or jobs a
// tenant submits, it has one share of what the level above gives.
func (c *Chain) Wait(ctx context.Context, n int) error {
	for n > 0 {
		_, steps := c.step.look()
		_, jobs := c.job.look()
		_, tenants := c.tenant.look()
		_, all := c.tree.global.look()
		most := min(steps, jobs, tenants, all)
		piece := min(n, most)
		if most != math.MaxInt {
			if err := c.waitTurn(ctx, piece); err != nil {
				return err
			}
		}
		n -= piece
	}
	return context.Cause(ctx)
}

// waitTurn waits for all limits, in the turn of the step.
func (c *Chain) waitTurn(ctx context.Context, n int) error {
	if err := c.turn.take(ctx); err != nil {
		return err
	}
	defer c.turn.leave()
	if _, err := c.waitOwn(ctx, Step, &c.step, n); err != nil {
		return err
	}
	begin := time.Now()
	c.at.Store(int32(c.above(Job)))
	if err := c.job.turn.take(ctx); err != nil {
		return err
	}
	defer c.job.turn.leave()
	c.count(c.job.holds, time.Since(begin)) // what other steps of the job waited, it waited, too
	delay, err := c.waitOwn(ctx, Job, &c.job.bucket, n)
	if err != nil {
		return err
	}
	above, err := c.waitShared(ctx, n)
	if c.job.holds = above; delay > 0 {
		c.job.holds = Job
	}
	return err
}

// waitOwn waits for a limit in whose turn the caller is.
func (c *Chain) waitOwn(ctx context.Context, l Level, b *bucket, n int) (time.Duration, error) {
	c.at.Store(int32(l))
	r, delay := b.reserve(n)
	if err := sleep(ctx, delay); err != nil {
		b.giveBack(r)
		return delay, err
	}
	c.count(l, delay)
	return delay, nil
}

// above is the lowest level from l on that has a limit now.
func (c *Chain) above(l Level) Level {
	if r, _ := c.job.look(); l <= Job && r != 0 {
		return Job
	}
	if r, _ := c.tenant.look(); r != 0 {
		return Tenant
	}
	return Global
}

// waitShared waits for the limits of the tenant and of the node together, and tells
// which one held it up last.
func (c *Chain) waitShared(ctx context.Context, n int) (Level, error) {
	begin := time.Now()
	c.at.Store(int32(c.above(Tenant)))
	if err := c.tenant.turn.take(ctx); err != nil {
		return Tenant, err
	}
	defer c.tenant.turn.leave()
	ofTenant, delay := c.tenant.reserve(n)
	ofAll, longer := c.tree.global.reserve(n)
	switch {
	case longer > delay:
		delay, c.tenant.holds = longer, Global
	case delay > 0:
		c.tenant.holds = Tenant
	}
	if err := sleep(ctx, delay); err != nil {
		c.tenant.giveBack(ofTenant)
		c.tree.global.giveBack(ofAll)
		return c.tenant.holds, err
	}
	c.count(c.tenant.holds, time.Since(begin)) // what others of the tenant waited, it waited, too
	return c.tenant.holds, nil
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

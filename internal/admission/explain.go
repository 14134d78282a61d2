package admission

import (
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// Depth is how many starts an explanation looks ahead.
const Depth = 256

// Case is a job that waits, and what it waits among.
type Case struct {
	Job       Waiting
	Paused    bool
	Parked    bool      // it was put back because its host has no free slot
	NotBefore time.Time // zero, or past: it may start now
	Retrying  bool      // NotBefore is the pause before its next attempt
	State     State     // with the job's tenant
	Jobs      []Waiting // the others that are ready now, or will be at NotBefore
	Free      int       // workers without a job
	Now       time.Time
}

// Verdict says why a job waits.
type Verdict struct {
	Reason string // one of job.Wait…
	// Ahead is how many jobs start before it once nothing but workers is missing;
	// -1: Depth or more.
	Ahead int
	// OnHost is how many of those will take a slot of its host.
	OnHost int
	// Remedy is what would make the next claim start it, all together; empty if
	// the next claim does so anyway, nil if that is not in sight.
	Remedy []Action
}

// ActionKind names an action.
type ActionKind string

// The actions.
const (
	ActResume       ActionKind = "resume"        // the job
	ActResumeTenant ActionKind = "resume_tenant" // Tenant
	ActRetry        ActionKind = "retry"         // do not wait for the next attempt
	ActWaitUntil    ActionKind = "wait_until"    // At
	ActPriority     ActionKind = "priority"      // To
	ActRaiseLimit   ActionKind = "raise_limit"   // max_concurrent_jobs of Tenant to N
	ActAddWorkers   ActionKind = "add_workers"   // N more

	ActRaiseHostLimit ActionKind = "raise_host_limit" // exports per host to N, for the sake of Host
)

// Action is a part of a remedy.
type Action struct {
	Kind   ActionKind
	Tenant string
	Host   string
	To     job.Priority
	N      int
	At     time.Time
}

// Explain says why a job waits, where in the queue it is, and what would start
// it. It plays out the decisions that claims would take.
func (p Policy) Explain(c Case) Verdict {
	i := slices.IndexFunc(c.State.Shares, func(s Share) bool { return s.Tenant == c.Job.Tenant })
	share := c.State.Shares[i]
	v := Verdict{Reason: reasonOf(c, &share), Ahead: -1}
	at := c.Now
	if c.NotBefore.After(at) && !c.Retrying {
		at = c.NotBefore
	}
	if c.Paused {
		c.Job.Since = at // as a job that is resumed has it
	}
	plain, found := p.play(c, i, c.Job.Class, at)
	if found {
		v.Ahead, v.OnHost = plain.starts-1, max(0, plain.onHost-1)
	}
	best, class := plain, c.Job.Class
	if urgent, ok := p.play(c, i, 0, at); ok && (!found || urgent.starts < plain.starts && plain.starts > c.Free) {
		best, class, found = urgent, 0, true
	}
	if !found {
		return v
	}
	v.Remedy = c.obstacles(&share)
	if class != c.Job.Class {
		v.Remedy = append(v.Remedy, Action{Kind: ActPriority, To: job.PriorityOf(class)})
	}
	if n := share.Running + best.own; share.Limit > 0 && n > share.Limit {
		v.Remedy = append(v.Remedy, Action{Kind: ActRaiseLimit, Tenant: share.Tenant, N: n})
	}
	if h := c.State.Hosts[c.Job.Host]; c.Job.Host != "" && best.slots > h.Limit {
		v.Remedy = append(v.Remedy, Action{Kind: ActRaiseHostLimit, Host: c.Job.Host, N: best.slots})
	}
	if n := best.starts - max(0, c.Free); n > 0 {
		v.Remedy = append(v.Remedy, Action{Kind: ActAddWorkers, N: n})
	}
	return v
}

func reasonOf(c Case, share *Share) string {
	switch {
	case c.Paused || share.Paused:
		return job.WaitPaused
	case c.NotBefore.After(c.Now):
		return job.WaitNotBefore
	case c.Parked:
		return job.WaitHostLimit
	case !share.Open():
		return job.WaitTenantLimit
	}
	return job.WaitSlot
}

// obstacles are what must be lifted before the queue matters.
func (c Case) obstacles(share *Share) []Action {
	all := []Action{}
	if c.Paused {
		all = append(all, Action{Kind: ActResume})
	}
	if share.Paused {
		all = append(all, Action{Kind: ActResumeTenant, Tenant: share.Tenant})
	}
	switch {
	case !c.NotBefore.After(c.Now):
	case c.Retrying:
		all = append(all, Action{Kind: ActRetry})
	default:
		all = append(all, Action{Kind: ActWaitUntil, At: c.NotBefore})
	}
	return all
}

// played is how the queue goes until a job starts.
type played struct {
	starts int // of all tenants, the job's included
	own    int // of its tenant
	onHost int // on its host
	slots  int // of each host of the provider
}

// play lets claims happen until the job starts, as if its tenant had neither a
// limit nor a pause, its host as many slots as that needs, and the job were of a
// class. What its host gets the provider's other hosts get too, and so the jobs
// that wait for those.
func (p Policy) play(c Case, share, class int, at time.Time) (n played, found bool) {
	host := c.State.Hosts[c.Job.Host]
	for limit := host.Limit; ; limit = host.Held + n.onHost {
		n, found = p.playWith(c, share, class, at, limit)
		n.slots = limit
		if !found || c.Job.Host == "" || limit <= 0 || host.Held+n.onHost <= limit {
			return n, found
		}
	}
}

// playWith is play with a limit for the hosts of the provider but the job's own,
// which has none.
func (p Policy) playWith(c Case, share, class int, at time.Time, limit int) (n played, found bool) {
	me := c.Job
	me.Class = class
	q := NewQueue(c.State, append(slices.Clip(c.Jobs), me))
	q.Shares[share].Limit, q.Shares[share].Paused = 0, false
	for name, h := range q.Hosts {
		switch {
		case name == me.Host:
			h.Limit = 0
		case h.Provider == c.State.Hosts[me.Host].Provider:
			h.Limit = limit
		}
		q.SetHost(name, h)
	}
	for n.starts < Depth {
		w, _, ok := q.Start(p, at)
		if !ok {
			return n, false
		}
		n.starts++
		if w.Tenant == me.Tenant {
			n.own++
		}
		if me.Host != "" && w.Host == me.Host {
			n.onHost++
		}
		if w.Seq == me.Seq {
			return n, true
		}
	}
	return n, false
}

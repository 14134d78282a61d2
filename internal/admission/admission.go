// Package admission decides which job starts next, and how many run at once. The
// decisions are pure functions of a small state: the store loads it, asks and
// writes back in one transaction, and a simulation asks the same functions
// millions of times.
//
// The order is: class before class (critical, high, normal, low); inside of a
// class fair shares between the tenants by start-time fair queuing; inside of a
// tenant's class the order of submission. One start in Policy.Every goes to the
// job that waits longest of those that have waited for Policy.AgeAfter, whatever
// its class. A tenant that is paused or at its limit starts nothing, and a job
// that is known to read from a host without a free slot does not start.
// docs/adr/0010-claim-policy.md has the reasons and the bounds.
package admission

import (
	"cmp"
	"time"
)

// Classes is the number of priorities; class 0 goes first.
const Classes = 4

// Policy is what can be set about the order.
type Policy struct {
	AgeAfter time.Duration // from then on a job that waits is aged; default 30 min
	Every    int           // one start in so many goes to the oldest aged job; default 8
}

// WithDefaults fills in what is zero.
func (p Policy) WithDefaults() Policy {
	return Policy{AgeAfter: cmp.Or(p.AgeAfter, 30*time.Minute), Every: cmp.Or(p.Every, 8)}
}

// Ready is a job that could start.
type Ready struct {
	Seq   int64 // order of submission, from 1
	Class int
	Since time.Time // it could have started since then
}

// Share is what a decision needs of a tenant.
type Share struct {
	Tenant  string
	Weight  int64 // against the other tenants of a class
	Limit   int   // jobs that run at once; 0: no limit
	Paused  bool
	Running int
	Served  [Classes]int64 // virtual time up to which the tenant was served
	Head    [Classes]int64 // Seq of the first ready job, 0: none
	Oldest  Ready          // the ready job that waits longest; Seq 0: none
}

// Open tells whether the tenant may start one more job.
func (t *Share) Open() bool { return !t.Paused && (t.Limit <= 0 || t.Running < t.Limit) }

// State is what a decision depends on: all tenants that have a ready job.
type State struct {
	Turn    int            // starts since one was given to an aged job
	Virtual [Classes]int64 // virtual time of each class: where its last start began
	Shares  []Share
	Hosts   Hosts // heads are of jobs whose hosts are open
}

// Choice is the job to start.
type Choice struct {
	Share int // index of the tenant
	Seq   int64
	Class int
	Aged  bool // it is the turn of the aged
}

// unit is the virtual time of one start of a tenant of weight 1.
const unit = 1 << 20

// Next returns the job to start now, if one may.
func (p Policy) Next(s *State, now time.Time) (Choice, bool) {
	if s.Turn >= p.Every-1 {
		if c, ok := p.aged(s, now); ok {
			return c, true
		}
	}
	for class := range Classes {
		best := -1
		for i := range s.Shares {
			t := &s.Shares[i]
			if t.Head[class] != 0 && t.Open() && (best < 0 || s.sooner(class, i, best)) {
				best = i
			}
		}
		if best >= 0 {
			return Choice{Share: best, Seq: s.Shares[best].Head[class], Class: class}, true
		}
	}
	return Choice{}, false
}

// aged returns the aged job that waits longest.
func (p Policy) aged(s *State, now time.Time) (Choice, bool) {
	limit := now.Add(-p.AgeAfter)
	best := -1
	for i := range s.Shares {
		t := &s.Shares[i]
		if t.Oldest.Seq == 0 || t.Oldest.Since.After(limit) || !t.Open() {
			continue
		}
		if best < 0 || t.Oldest.Older(s.Shares[best].Oldest) {
			best = i
		}
	}
	if best < 0 {
		return Choice{}, false
	}
	o := s.Shares[best].Oldest
	return Choice{Share: best, Seq: o.Seq, Class: o.Class, Aged: true}, true
}

// Older tells whether r waits longer than another job.
func (r Ready) Older(than Ready) bool {
	if c := r.Since.Compare(than.Since); c != 0 {
		return c < 0
	}
	return r.Seq < than.Seq
}

// tag is where the next start of a tenant begins in virtual time. A tenant that
// had nothing to start, or was not allowed to, does not gather credit: it begins
// at the present.
func (s *State) tag(class, i int) int64 { return max(s.Shares[i].Served[class], s.Virtual[class]) }

func (s *State) sooner(class, a, b int) bool {
	if c := cmp.Compare(s.tag(class, a), s.tag(class, b)); c != 0 {
		return c < 0
	}
	return s.Shares[a].Head[class] < s.Shares[b].Head[class]
}

// Take books the start of the job that Next chose. What is ready then is the
// caller's to bring up to date.
func (p Policy) Take(s *State, c Choice) {
	t := &s.Shares[c.Share]
	tag := s.tag(c.Class, c.Share)
	t.Served[c.Class] = tag + max(1, unit/max(1, t.Weight))
	t.Running++
	if c.Aged { // out of turn: it costs the tenant, but moves nobody else
		s.Turn = 0
		return
	}
	s.Virtual[c.Class] = tag
	s.Turn = min(s.Turn+1, p.Every-1)
}

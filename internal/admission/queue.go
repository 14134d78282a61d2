package admission

import (
	"maps"
	"slices"
	"time"
)

// Waiting is a ready job of a tenant.
type Waiting struct {
	Tenant string
	Host   string // that it will read from; empty: not known yet
	Ready
}

// Queue is a State together with the jobs behind its heads: it plays out what
// the store's claims will do.
type Queue struct {
	State
	behind map[string]*backlog
}

// backlog is what one tenant has waiting, twice: by class and by age. A job that
// started is skipped where it comes up a second time.
type backlog struct {
	share int // index in State.Shares
	lanes [Classes][]*entry
	ages  []*entry
}

type entry struct {
	Ready
	host string
	gone bool
}

// NewQueue makes a queue. The heads of the state are replaced by those of the
// jobs; a job of a tenant that the state does not have is of weight 1 and
// without a limit.
func NewQueue(s State, jobs []Waiting) *Queue {
	s.Shares = slices.Clone(s.Shares)
	if s.Hosts = maps.Clone(s.Hosts); s.Hosts == nil {
		s.Hosts = Hosts{}
	}
	q := &Queue{State: s, behind: make(map[string]*backlog)}
	for i := range q.Shares {
		q.behind[q.Shares[i].Tenant] = &backlog{share: i}
	}
	for _, j := range jobs {
		q.Add(j)
	}
	for _, b := range q.behind {
		q.refresh(b)
	}
	return q
}

// Add puts one more job in its place.
func (q *Queue) Add(j Waiting) {
	b := q.behind[j.Tenant]
	if b == nil {
		b = &backlog{share: len(q.Shares)}
		q.behind[j.Tenant] = b
		q.Shares = append(q.Shares, Share{Tenant: j.Tenant, Weight: 1})
	}
	e := &entry{Ready: j.Ready, host: j.Host}
	b.lanes[j.Class] = insert(b.lanes[j.Class], e, func(a, b *entry) bool { return a.Seq < b.Seq })
	b.ages = insert(b.ages, e, func(a, b *entry) bool { return a.Older(b.Ready) })
	q.refresh(b)
}

// insert keeps a list in order; what comes in order costs nothing.
func insert(list []*entry, e *entry, before func(a, b *entry) bool) []*entry {
	i := len(list)
	for i > 0 && before(e, list[i-1]) {
		i--
	}
	return slices.Insert(list, i, e)
}

// Start takes the job that starts next off the queue, if one may start.
func (q *Queue) Start(p Policy, now time.Time) (Waiting, Choice, bool) {
	c, ok := p.Next(&q.State, now)
	if !ok {
		return Waiting{}, c, false
	}
	p.Take(&q.State, c)
	b := q.behind[q.Shares[c.Share].Tenant]
	e := q.first(b.lanes[c.Class])
	if c.Aged {
		e = q.first(b.ages)
	}
	e.gone = true
	q.refresh(b)
	if e.host != "" {
		h := q.Hosts[e.host]
		h.Held++
		q.SetHost(e.host, h)
	}
	return Waiting{Tenant: q.Shares[c.Share].Tenant, Host: e.host, Ready: e.Ready}, c, true
}

// refresh brings the heads of a tenant up to date.
func (q *Queue) refresh(b *backlog) {
	t := &q.Shares[b.share]
	for class := range b.lanes {
		b.lanes[class] = skip(b.lanes[class])
		t.Head[class] = 0
		if e := q.first(b.lanes[class]); e != nil {
			t.Head[class] = e.Seq
		}
	}
	b.ages = skip(b.ages)
	t.Oldest = Ready{}
	if e := q.first(b.ages); e != nil {
		t.Oldest = e.Ready
	}
}

// first returns the first job of a list that may start, nil if there is none.
func (q *Queue) first(list []*entry) *entry {
	for _, e := range list {
		if !e.gone && q.Hosts.open(e.host) {
			return e
		}
	}
	return nil
}

func skip(list []*entry) []*entry {
	for len(list) > 0 && list[0].gone {
		list = list[1:]
	}
	return list
}

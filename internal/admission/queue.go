package admission

import (
	"slices"
	"time"
)

// Waiting is a ready job of a tenant.
type Waiting struct {
	Tenant string
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
	gone bool
}

// NewQueue makes a queue. The heads of the state are replaced by those of the
// jobs; a job of a tenant that the state does not have is of weight 1 and
// without a limit.
func NewQueue(s State, jobs []Waiting) *Queue {
	s.Shares = slices.Clone(s.Shares)
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
	e := &entry{Ready: j.Ready}
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
	e := b.lanes[c.Class][0]
	if c.Aged {
		e = b.ages[0]
	}
	e.gone = true
	q.refresh(b)
	return Waiting{Tenant: q.Shares[c.Share].Tenant, Ready: e.Ready}, c, true
}

// refresh brings the heads of a tenant up to date.
func (q *Queue) refresh(b *backlog) {
	t := &q.Shares[b.share]
	for class := range b.lanes {
		b.lanes[class] = skip(b.lanes[class])
		t.Head[class] = 0
		if len(b.lanes[class]) > 0 {
			t.Head[class] = b.lanes[class][0].Seq
		}
	}
	b.ages = skip(b.ages)
	t.Oldest = Ready{}
	if len(b.ages) > 0 {
		t.Oldest = b.ages[0].Ready
	}
}

func skip(list []*entry) []*entry {
	for len(list) > 0 && list[0].gone {
		list = list[1:]
	}
	return list
}

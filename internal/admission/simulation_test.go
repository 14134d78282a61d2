package admission

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// simulation drives a Queue at random and keeps books of its own, which know
// nothing of virtual times and turns.
type simulation struct {
	*testing.T
	dice    *rand.Rand
	policy  Policy
	now     time.Time
	q       *Queue
	seq     int64
	tenants []*account
	hosts   []*machine // the first stands for jobs that read from nowhere
	young   []*waiter  // in the order in which they become aged
	aged    int        // aged jobs that wait
	claims  int
	starts  map[string]int
}

// account is a tenant as an outsider sees it.
type account struct {
	name      string
	limit     int
	paused    bool
	running   []*waiter
	lanes     [Classes][]*waiter
	openSince int // claim from which on it was allowed to start without a break
}

// machine is a host as an outsider sees it.
type machine struct {
	name      string
	limit     int
	held      int
	openSince int
}

func (m *machine) open() bool { return m.limit == 0 || m.held < m.limit }

type waiter struct {
	Waiting
	*account
	host    *machine
	started bool
	agedAt  int // claim
	ahead   int // aged jobs that waited longer then; -1: it is not aged
}

func newSimulation(t *testing.T, seed uint64) *simulation {
	s := &simulation{
		T: t, dice: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1_800_000_000, 0), starts: map[string]int{},
		policy: Policy{AgeAfter: time.Minute, Every: 2 + int(seed%9)},
	}
	var shares []Share
	for i := range 1 + s.dice.IntN(12) {
		a := &account{name: fmt.Sprint("tenant-", i)}
		s.tenants = append(s.tenants, a)
		shares = append(shares, Share{Tenant: a.name, Weight: 1 + s.dice.Int64N(8)})
	}
	s.q = NewQueue(State{Shares: shares}, nil)
	for _, a := range s.tenants {
		s.limit(a)
	}
	for i := range 1 + s.dice.IntN(5) {
		s.hosts = append(s.hosts, &machine{})
		if i > 0 {
			s.hosts[i].name = fmt.Sprint("host-", i)
			s.limitHost(s.hosts[i])
		}
	}
	return s
}

func (s *simulation) limitHost(m *machine) {
	m.limit = s.dice.IntN(4)
	s.q.SetHost(m.name, Host{Limit: m.limit, Held: m.held})
}

// end gives back what a job held.
func (s *simulation) end(a *account) {
	i := s.dice.IntN(len(a.running))
	w := a.running[i]
	a.running = slices.Delete(a.running, i, i+1)
	s.q.Shares[s.q.behind[a.name].share].Running--
	if w.host.name != "" {
		w.host.held--
		s.q.SetHost(w.host.name, Host{Limit: w.host.limit, Held: w.host.held})
	}
}

func (s *simulation) limit(a *account) {
	a.limit, a.paused = s.dice.IntN(7), s.dice.IntN(10) == 0
	t := &s.q.Shares[s.q.behind[a.name].share]
	t.Limit, t.Paused = a.limit, a.paused
}

func (a *account) open() bool { return !a.paused && (a.limit == 0 || len(a.running) < a.limit) }

// step does one thing at random. More is submitted than can run, so that classes
// starve but for the turns of the aged.
func (s *simulation) step() {
	a := s.tenants[s.dice.IntN(len(s.tenants))]
	switch n := s.dice.IntN(100); {
	case n < 35:
		s.submit(a)
	case n < 65:
		s.claim()
	case n < 95:
		if len(a.running) > 0 {
			s.end(a)
		}
	case n < 96:
		s.limit(a)
		if m := s.hosts[s.dice.IntN(len(s.hosts))]; m.name != "" {
			s.limitHost(m)
		}
	default:
		s.now = s.now.Add(time.Duration(s.dice.IntN(5)) * time.Second)
		s.age()
	}
}

func (s *simulation) submit(a *account) {
	if s.seq-int64(s.claims) > 3000 {
		return
	}
	s.seq++
	m := s.hosts[s.dice.IntN(len(s.hosts))]
	r := Ready{Seq: s.seq, Class: s.dice.IntN(Classes), Since: s.now}
	w := &waiter{Waiting: Waiting{Tenant: a.name, Host: m.name, Ready: r}, account: a, host: m, ahead: -1}
	s.q.Add(w.Waiting)
	a.lanes[w.Class] = append(a.lanes[w.Class], w)
	s.young = append(s.young, w)
}

// age notes which jobs have become aged, and what was ahead of them.
func (s *simulation) age() {
	for len(s.young) > 0 && !s.young[0].Since.After(s.now.Add(-s.policy.AgeAfter)) {
		w := s.young[0]
		s.young = s.young[1:]
		if !w.started {
			w.agedAt, w.ahead = s.claims, s.aged
			s.aged++
		}
	}
}

func (s *simulation) claim() {
	for _, a := range s.tenants {
		if !a.open() {
			a.openSince = s.claims + 1
		}
	}
	for _, m := range s.hosts {
		if !m.open() {
			m.openSince = s.claims + 1
		}
	}
	got, c, ok := s.q.Start(s.policy, s.now)
	if !ok {
		for _, a := range s.tenants {
			if a.open() && a.first(0) != nil {
				s.Fatalf("claim %d starts nothing, although %s may start %+v", s.claims, a.name, a.first(0).Ready)
			}
		}
		return
	}
	w := s.check(got, c)
	s.claims++
	w.started = true
	a := w.account
	a.running = append(a.running, w)
	if w.host.name != "" {
		w.host.held++
	}
	a.lanes[w.Class] = slices.DeleteFunc(a.lanes[w.Class], func(o *waiter) bool { return o == w })
	if w.ahead >= 0 {
		s.aged--
		s.bound(w)
	}
	s.starts[fmt.Sprint("class ", w.Class)]++
	if c.Aged {
		s.starts["aged"]++
	}
}

// check holds the choice against the rules.
func (s *simulation) check(got Waiting, c Choice) *waiter {
	i := slices.IndexFunc(s.tenants, func(a *account) bool { return a.name == got.Tenant })
	a := s.tenants[i]
	if !a.open() {
		s.Fatalf("claim %d starts a job of %+v", s.claims, a)
	}
	var lane []*waiter
	for _, w := range a.lanes[got.Class] {
		if w.host.open() {
			lane = append(lane, w)
		}
	}
	at := slices.IndexFunc(lane, func(w *waiter) bool { return w.Seq == got.Seq })
	if at < 0 {
		s.Fatalf("claim %d starts %+v, which does not wait", s.claims, got)
	}
	if c.Aged {
		if lane[at].ahead < 0 {
			s.Fatalf("claim %d gives the turn of the aged to a young job", s.claims)
		}
		return lane[at]
	}
	if at != 0 {
		s.Fatalf("claim %d starts %+v before %+v", s.claims, got, lane[0].Waiting)
	}
	for _, o := range s.tenants {
		if w := o.first(0); o.open() && w != nil && w.Class < got.Class {
			s.Fatalf("claim %d starts class %d although %+v waits", s.claims, got.Class, w.Waiting)
		}
	}
	return lane[at]
}

// first is the first job of the highest class from a class on whose host is open.
func (a *account) first(class int) *waiter {
	for ; class < Classes; class++ {
		if i := slices.IndexFunc(a.lanes[class], func(w *waiter) bool { return w.host.open() }); i >= 0 {
			return a.lanes[class][i]
		}
	}
	return nil
}

// bound checks what ADR 10 promises to an aged job.
func (s *simulation) bound(w *waiter) {
	waited := s.claims - max(w.agedAt, w.openSince, w.host.openSince)
	if limit := s.policy.Every * (w.ahead + 1); waited > limit {
		s.Fatalf("%+v waited for %d claims while it was allowed to start; with %d aged jobs ahead the bound is %d", w.Waiting, waited, w.ahead, limit)
	}
}

func TestSimulation(t *testing.T) {
	t.Parallel()
	steps, runs := 1_000_000, 20
	if testing.Short() {
		steps = 100_000
	}
	total := map[string]int{}
	for seed := range runs {
		s := newSimulation(t, uint64(seed))
		for range steps / runs {
			s.step()
		}
		for _, a := range s.tenants {
			for _, lane := range a.lanes {
				for _, w := range lane {
					if w.ahead >= 0 && a.open() && w.host.open() {
						s.bound(w) // it still waits
					}
				}
			}
		}
		for what, n := range s.starts {
			total[what] += n
		}
	}
	t.Log(total)
	if total["aged"] == 0 || total["class 3"] == 0 {
		t.Error("the simulation never came to the aged or to class 3")
	}
}

// TestFairShare: while all tenants have a backlog in one class, each gets its
// share of any 100 starts, within 5 of them.
func TestFairShare(t *testing.T) {
	t.Parallel()
	const window, tolerance, starts = 100, 5, 2000
	for seed := range uint64(60) {
		dice := rand.New(rand.NewPCG(seed, 2))
		aged := seed%3 == 0 // then the turns of the aged are part of the shares, unless a share is smaller than they are
		p := Policy{}.WithDefaults()
		n := 2 + dice.IntN(9)
		if aged {
			n = 2 + dice.IntN(4)
		}
		now := time.Unix(1_800_000_000, 0)
		s := State{Virtual: [Classes]int64{0, 0, dice.Int64N(1 << 40), 0}}
		var weights int64
		var jobs []Waiting
		for i := range n {
			weight := 1 + dice.Int64N(10)
			if aged {
				weight = 3 + dice.Int64N(2)
			}
			weights += weight
			s.Shares = append(s.Shares, Share{Tenant: fmt.Sprint(i), Weight: weight})
			for range starts {
				since := now
				if aged {
					since = now.Add(-time.Hour - time.Duration(dice.IntN(1000))*time.Second)
				}
				jobs = append(jobs, Waiting{Tenant: fmt.Sprint(i), Ready: Ready{Seq: int64(len(jobs) + 1), Class: 2, Since: since}})
			}
		}
		q := NewQueue(s, jobs)
		var order []int
		for range starts {
			_, c, ok := q.Start(p, now)
			if !ok {
				t.Fatal("nothing starts")
			}
			order = append(order, c.Share)
		}
		for from := 0; from+window <= len(order); from++ {
			got := make([]int, n)
			for _, i := range order[from : from+window] {
				got[i]++
			}
			for i := range got {
				want := float64(window*s.Shares[i].Weight) / float64(weights)
				if off := float64(got[i]) - want; off > tolerance || off < -tolerance {
					t.Fatalf("seed %d: of the %d starts from %d on tenant %d got %d, its share is %.1f", seed, window, from, i, got[i], want)
				}
			}
		}
	}
}

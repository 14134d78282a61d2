package admission

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// site is a scheduler with everything that may hold a job back.
type site struct {
	state State
	jobs  []held
	free  int
	now   time.Time
}

type held struct {
	Waiting
	paused    bool
	notBefore time.Time
	retrying  bool
}

func (h held) ready(at time.Time) bool { return !h.paused && !h.notBefore.After(at) }

func newSite(dice *rand.Rand) *site {
	s := &site{now: noon, free: max(0, dice.IntN(6)-2), state: State{Turn: dice.IntN(8), Hosts: Hosts{}}}
	hosts := []string{"", "", "", "esx-1", "esx-2", "esx-3"}
	limit := dice.IntN(4)
	for _, name := range hosts[3:] {
		s.state.Hosts[name] = Host{Provider: "vsphere", Limit: limit, Held: dice.IntN(4)}
	}
	for i := range 1 + dice.IntN(5) {
		t := Share{Tenant: fmt.Sprint("tenant-", i), Weight: 1 + dice.Int64N(4), Running: dice.IntN(4), Limit: dice.IntN(5), Paused: dice.IntN(8) == 0}
		for class := range Classes {
			s.state.Virtual[class] = dice.Int64N(5 * unit)
			t.Served[class] = dice.Int64N(8 * unit)
		}
		s.state.Shares = append(s.state.Shares, t)
	}
	for seq := range int64(1 + dice.IntN(60)) {
		h := held{Waiting: Waiting{
			Tenant: s.state.Shares[dice.IntN(len(s.state.Shares))].Tenant, Host: hosts[dice.IntN(len(hosts))],
			Ready: Ready{Seq: seq + 1, Class: dice.IntN(Classes), Since: noon.Add(-time.Duration(dice.IntN(90)) * time.Minute)},
		}, paused: dice.IntN(6) == 0}
		if dice.IntN(4) == 0 {
			h.notBefore = noon.Add(time.Duration(1+dice.IntN(60)) * time.Minute)
			if h.retrying = dice.IntN(2) == 0; !h.retrying {
				h.Since = h.notBefore
			}
		}
		s.jobs = append(s.jobs, h)
	}
	return s
}

// ask makes the case of a job.
func (s *site) ask(i int) Case {
	j := s.jobs[i]
	c := Case{Job: j.Waiting, Paused: j.paused, Parked: !s.state.Hosts[j.Host].Open(), NotBefore: j.notBefore, Retrying: j.retrying, State: s.state, Free: s.free, Now: s.now}
	at := s.now
	if j.notBefore.After(at) && !j.retrying {
		at = j.notBefore
	}
	for k, o := range s.jobs {
		if k != i && o.ready(at) {
			c.Jobs = append(c.Jobs, o.Waiting)
		}
	}
	return c
}

// claim tells whether the next claim of all free workers starts the job.
func (s *site) claim(p Policy, seq int64) bool {
	var ready []Waiting
	for _, j := range s.jobs {
		if j.ready(s.now) {
			ready = append(ready, j.Waiting)
		}
	}
	q := NewQueue(s.state, ready)
	for range s.free {
		w, _, ok := q.Start(p, s.now)
		if !ok {
			return false
		}
		if w.Seq == seq {
			return true
		}
	}
	return false
}

// apply carries out what a remedy says.
func (s *site) apply(t *testing.T, i int, remedy []Action) {
	t.Helper()
	s.jobs, s.state.Shares, s.state.Hosts = slices.Clone(s.jobs), slices.Clone(s.state.Shares), maps.Clone(s.state.Hosts)
	j := &s.jobs[i]
	tenant := slices.IndexFunc(s.state.Shares, func(x Share) bool { return x.Tenant == j.Tenant })
	for _, a := range remedy {
		if a.Tenant != "" && a.Tenant != j.Tenant {
			t.Fatalf("%+v is about another tenant", a)
		}
		switch a.Kind {
		case ActResume:
			j.paused, j.Since = false, s.now
			if j.notBefore.After(s.now) && !j.retrying {
				j.Since = j.notBefore
			}
		case ActResumeTenant:
			s.state.Shares[tenant].Paused = false
		case ActRetry:
			j.notBefore = time.Time{}
		case ActWaitUntil:
			s.now = a.At
		case ActPriority:
			j.Class = a.To.Class()
		case ActRaiseLimit:
			s.state.Shares[tenant].Limit = a.N
		case ActRaiseHostLimit:
			if a.Host != j.Host {
				t.Fatalf("%+v is about another host", a)
			}
			for name, h := range s.state.Hosts {
				h.Limit = a.N
				s.state.Hosts[name] = h
			}
		case ActAddWorkers:
			s.free += a.N
		default:
			t.Fatalf("what is %+v?", a)
		}
	}
}

// TestRemedy: over thousands of random sites, the next claim starts the job once
// its remedy is applied, all of it, and does not before.
func TestRemedy(t *testing.T) {
	t.Parallel()
	sites := 10_000
	if testing.Short() {
		sites = 3_000
	}
	p := Policy{}.WithDefaults()
	seen := map[string]int{}
	for seed := range sites {
		dice := rand.New(rand.NewPCG(uint64(seed), 4))
		s := newSite(dice)
		i := dice.IntN(len(s.jobs))
		v := p.Explain(s.ask(i))
		seq := s.jobs[i].Seq
		if v.Remedy == nil || v.Ahead < 0 {
			t.Fatalf("site %d: no remedy for job %d: %+v", seed, seq, v)
		}
		if got := s.claim(p, seq); got != (len(v.Remedy) == 0) {
			t.Fatalf("site %d: the next claim starts job %d: %v; the verdict is %+v", seed, seq, got, v)
		}
		seen["because of "+v.Reason]++
		for left := range v.Remedy { // without any one of its parts it does not help
			less := *s
			less.apply(t, i, slices.Delete(slices.Clone(v.Remedy), left, left+1))
			if less.claim(p, seq) {
				t.Fatalf("site %d: job %d starts without part %d of %+v", seed, seq, left, v)
			}
			seen[string(v.Remedy[left].Kind)]++
		}
		s.apply(t, i, v.Remedy)
		if !s.claim(p, seq) {
			t.Fatalf("site %d: job %d does not start after %+v", seed, seq, v)
		}
	}
	t.Log(seen)
	for _, want := range []string{
		"because of " + job.WaitSlot, "because of " + job.WaitPaused, "because of " + job.WaitNotBefore, "because of " + job.WaitTenantLimit,
		"because of " + job.WaitHostLimit, string(ActRaiseHostLimit),
		string(ActResume), string(ActResumeTenant), string(ActRetry), string(ActWaitUntil), string(ActPriority), string(ActRaiseLimit), string(ActAddWorkers),
	} {
		if seen[want] < sites/1000 {
			t.Errorf("%s came up %d times", want, seen[want])
		}
	}
}

func TestExplain(t *testing.T) {
	p := Policy{}.WithDefaults()
	one := Waiting{Tenant: "a", Ready: Ready{Seq: 100, Class: 2, Since: noon}}
	far := p.Explain(Case{Job: one, State: State{Shares: []Share{{Tenant: "a"}}}, Jobs: jobs("b", 0, 2*Depth, 0, 200), Now: noon})
	if far.Reason != job.WaitSlot || far.Ahead != -1 || len(far.Remedy) == 0 || far.Remedy[0].Kind != ActPriority {
		t.Errorf("behind many: %+v", far)
	}
	one.Class = 0
	lost := p.Explain(Case{Job: one, State: State{Shares: []Share{{Tenant: "a"}}}, Jobs: jobs("a", 0, Depth, 0, 1)[:99], Now: noon})
	if lost.Ahead != 99 || len(lost.Remedy) != 1 || lost.Remedy[0].N != 100 {
		t.Errorf("behind its own: %+v", lost)
	}
	next := p.Explain(Case{Job: one, State: State{Shares: []Share{{Tenant: "a"}}}, Free: 1, Now: noon})
	if next.Ahead != 0 || next.Remedy == nil || len(next.Remedy) != 0 {
		t.Errorf("next: %+v", next)
	}
}

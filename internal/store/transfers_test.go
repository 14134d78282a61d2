package store_test

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/store"
)

// unit is a twelfth of the limits below, in bytes per second.
const unit = 250e3

// shared are nodes that share limits over one store, in virtual time. They are of
// one process, so it is SQLite.
type shared struct {
	*testing.T
	store  *store.Store
	all    sync.WaitGroup
	passed map[string]*atomic.Int64 // of each node
	most   atomic.Int64             // that passed in any second, on all nodes together
	limit  limit.Plan               // of each tenant
}

// sharing is one of them.
type sharing struct {
	*shared
	id   string
	tree *limit.Tree
	read *atomic.Int64 // bytes
	cut  atomic.Bool   // off the store
	stop func()
}

// Post and Counts implement limit.Board: the store, unless it is out of reach.
func (n *sharing) Post(ctx context.Context, id string, transfers map[string]int, ttl time.Duration) error {
	if n.cut.Load() {
		return errors.New("cut off")
	}
	return n.store.Post(ctx, id, transfers, ttl)
}

func (n *sharing) Counts(ctx context.Context, id string) (map[string]limit.Count, bool, error) {
	if n.cut.Load() {
		return nil, false, errors.New("cut off")
	}
	return n.store.Counts(ctx, id)
}

func share(t *testing.T, of limit.Plan, what func(*shared)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		st, err := store.Open(t.Context(), store.Options{Dir: dir, Synchronous: store.Off})
		if err != nil {
			t.Fatal(err)
		}
		s := &shared{T: t, store: st, passed: map[string]*atomic.Int64{}, limit: of}
		what(s)
		s.all.Wait()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
}

// join makes a node.
func (s *shared) join(id string, global limit.Plan) *sharing {
	s.Helper()
	if err := s.store.Beat(s.Context(), node.Node{ID: id, State: node.Alive}, id, time.Hour, true); err != nil {
		s.Fatal(fault.Detail(err))
	}
	n := &sharing{shared: s, id: id, tree: limit.NewTree(global), read: &atomic.Int64{}}
	n.tree.Shared()
	s.passed[id] = n.read
	x := &limit.Sharer{Tree: n.tree, Board: n, Node: id, TTL: 30 * time.Second, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(s.Context())
	done := make(chan struct{})
	go func() { _ = x.Run(ctx); close(done) }()
	n.stop = sync.OnceFunc(func() {
		cancel()
		<-done
		x.Leave(ctx)
	})
	return n
}

// transfer lets bytes pass until the node stops, or end is called.
func (n *sharing) transfer(tenant string) (end func()) {
	ctx, cancel := context.WithCancel(n.Context())
	n.all.Go(func() {
		c := n.tree.Join(tenant, rand.Text())
		defer c.Leave()
		c.SetTenant(n.limit)
		for c.Wait(ctx, 16<<10) == nil {
			n.read.Add(16 << 10)
		}
	})
	return cancel
}

// measure lets seconds pass and returns what the nodes read in a second, on average.
func (s *shared) measure(seconds int) map[string]float64 {
	begin, last := map[string]int64{}, s.total()
	for id, n := range s.passed {
		begin[id] = n.Load()
	}
	for range seconds {
		time.Sleep(time.Second)
		now := s.total()
		s.most.Store(max(s.most.Load(), now-last))
		last = now
	}
	rates := map[string]float64{}
	for id, n := range s.passed {
		rates[id] = float64(n.Load()-begin[id]) / float64(seconds)
	}
	return rates
}

func (s *shared) total() (n int64) {
	for _, p := range s.passed {
		n += p.Load()
	}
	return n
}

// within5 wants each node to have had its part, in unitbytes per second.
func (s *shared) within5(what string, got, want map[string]float64) {
	s.Helper()
	for id, w := range want {
		if w *= unit; got[id] < w*0.95 || got[id] > w*1.05 {
			s.Errorf("%s: %s read %.0f bytes per second, not %.0f; all: %v", what, id, got[id], w, got)
		}
	}
}

// never wants no second to have had more than the limit, but for what may pass at
// once and what is counted in the second after.
func (s *shared) never(more float64) {
	s.Helper()
	if most := float64(s.most.Load()); most > more*unit*1.05 {
		s.Errorf("%.0f bytes passed in one second, the limit is %.0f", most, more*unit)
	}
}

func rate(t testing.TB, text string) limit.Plan {
	t.Helper()
	p, err := limit.ParsePlan(text, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

type parts = map[string]float64

// TestTenantOverNodes: nodes share the limit of a tenant by its transfers, use it in
// full, and never more, also while they come, go and lose the store.
func TestTenantOverNodes(t *testing.T) {
	t.Parallel()
	const change = 6 // seconds after which a change is through
	share(t, rate(t, "3MB"), func(s *shared) {
		a := s.join("a", limit.Plan{})
		endA := a.transfer("t")
		s.within5("alone", s.measure(5), parts{"a": 12}) // at once

		b := s.join("b", limit.Plan{})
		endB := b.transfer("t")
		s.measure(change)
		s.within5("two nodes", s.measure(10), parts{"a": 6, "b": 6})

		endB2 := b.transfer("t")
		s.never(12)
		endOther := b.transfer("other") // has a limit of its own
		s.most.Store(0)
		s.measure(change)
		s.within5("three transfers", s.measure(10), parts{"a": 4, "b": 8 + 12})
		s.never(24)

		b.cut.Store(true) // its share holds, and is nobody else's while its leases last
		endA()
		s.within5("one is cut off", s.measure(5), parts{"a": 0, "b": 20})
		endA = a.transfer("t")
		endNew := b.transfer("new") // of which nobody else knows
		s.measure(change)
		s.within5("and the other one works again", s.measure(8), parts{"a": 4, "b": 20})
		endNew()
		b.cut.Store(false)
		endB2()
		s.measure(change)
		s.within5("it is back", s.measure(10), parts{"a": 6, "b": 6 + 12})
		s.never(24)

		b.cut.Store(true) // and dies
		endB()
		endOther()
		s.within5("one is dead", s.measure(15), parts{"a": 6, "b": 0})
		s.measure(15 + change)
		s.within5("and forgotten", s.measure(10), parts{"a": 12})
		s.never(24)
		endA()
		a.stop()
		b.stop()
	})
}

// TestGlobalOverNodes: the global limit goes evenly to the tenants, wherever and
// however many their transfers are.
func TestGlobalOverNodes(t *testing.T) {
	t.Parallel()
	share(t, limit.Plan{}, func(s *shared) {
		global := rate(t, "3MB")
		a, b := s.join("a", global), s.join("b", global)
		ends := []func(){a.transfer("x"), a.transfer("x"), a.transfer("x"), b.transfer("y")}
		s.measure(6)
		s.within5("a tenant each", s.measure(10), parts{"a": 6, "b": 6})
		ends = append(ends, b.transfer("x"))
		s.measure(6)
		s.within5("one on both", s.measure(10), parts{"a": 4.5, "b": 7.5})
		s.never(12)
		if r := a.tree.Rate(); r != 4.5*unit {
			t.Errorf("the node says that its rate is %s", r)
		}
		for _, end := range ends {
			end()
		}
		s.measure(6)
		if r := a.tree.Rate(); r != 12*unit {
			t.Errorf("at rest the node says that the rate is %s", r)
		}
		a.stop()
		b.stop()
	})
}

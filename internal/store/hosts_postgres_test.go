package store_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// TestHostSlotsOfTwoNodes: workers of two nodes never read from a host more than
// its slots at once, and no job is passed over for ever.
func TestHostSlotsOfTwoNodes(t *testing.T) {
	t.Parallel()
	const jobs, slots = 40, 2
	dsn := pgtest.Database(t)
	nodes := []*store.Store{postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})}
	if err := nodes[0].LimitHosts(t.Context(), "p", slots); err != nil {
		t.Fatal(err)
	}
	for i := range jobs {
		mustSubmit(t, nodes[i%2], fmt.Sprint(i))
	}
	b := &readers{T: t, left: jobs, now: map[string]int{}, full: map[string]int{}}
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() { b.work(nodes[i%2], fmt.Sprint("node", i)) })
	}
	wg.Wait()
	if b.most != slots || len(b.full) != 2 {
		t.Errorf("%d read from one host at once, %v gave way", b.most, b.full)
	}
}

// readers count who reads from which host.
type readers struct {
	*testing.T
	mu   sync.Mutex
	left int
	now  map[string]int
	most int
	full map[string]int // how many found their host full
}

func (b *readers) work(s *store.Store, node string) {
	for end := time.Now().Add(patience); b.more(); {
		leases, err := s.Claim(b.Context(), node, time.Minute, 1)
		if err != nil {
			b.Error(fault.Detail(err))
			return
		}
		for _, l := range leases {
			if err := b.read(s, l, node); err != nil {
				b.Error(fault.Detail(err))
				return
			}
		}
		if time.Now().After(end) {
			b.Errorf("%s still waits", node)
			return
		}
	}
}

func (b *readers) more() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.left > 0
}

func (b *readers) read(s *store.Store, l dispatch.Lease, node string) error {
	host := fmt.Sprint("esx-", l.Job.Seq%2)
	err := s.Hosts(l).Take(b.Context(), "p", host)
	change := job.CompleteWith(node, job.Outcome{})
	b.mu.Lock()
	switch {
	case dispatch.IsHostFull(err):
		b.full[host]++
		change, err = job.YieldBy(node, ""), nil
	case err == nil:
		b.now[host]++
		b.most = max(b.most, b.now[host])
	}
	b.mu.Unlock()
	if err != nil {
		return err
	}
	if change.Trigger == job.Complete {
		until(b, "somebody finds the host full", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.full[host] > 0
		})
		if _, err := s.Nodes(b.Context()); err != nil { // it reads for as long as a query takes
			return err
		}
		b.mu.Lock()
		b.now[host]--
		b.left--
		b.mu.Unlock()
	}
	_, err = s.Apply(b.Context(), l, change)
	return err
}

// TestHostSlotsAtOnce: of many that ask for a slot in the same moment, on two
// nodes, as many get one as there are.
func TestHostSlotsAtOnce(t *testing.T) {
	t.Parallel()
	const jobs, slots = 8, 3
	dsn := pgtest.Database(t)
	nodes := []*store.Store{postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})}
	if err := nodes[0].LimitHosts(t.Context(), "p", slots); err != nil {
		t.Fatal(err)
	}
	for i := range jobs {
		mustSubmit(t, nodes[0], fmt.Sprint(i))
	}
	leases, err := nodes[0].Claim(t.Context(), "a", time.Minute, jobs)
	if err != nil || len(leases) != jobs {
		t.Fatal(leases, err)
	}
	for round := range 10 {
		var taken atomic.Int32
		var wg sync.WaitGroup
		begin := make(chan struct{})
		for i, l := range leases {
			wg.Go(func() {
				<-begin
				switch err := nodes[i%2].Hosts(l).Take(t.Context(), "p", fmt.Sprint("esx-", round)); {
				case err == nil:
					taken.Add(1)
				case !dispatch.IsHostFull(err):
					t.Error(fault.Detail(err))
				}
			})
		}
		close(begin)
		wg.Wait()
		if taken.Load() != slots {
			t.Errorf("round %d: %d jobs got one of %d slots", round, taken.Load(), slots)
		}
	}
}

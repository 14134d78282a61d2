package limit

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func plan(t *testing.T, rate string, windows ...string) Plan {
	t.Helper()
	p, err := ParsePlan(rate, windows)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// pass lets bytes through in the pieces of a network, from several readers, and
// returns how long it took.
func pass(t *testing.T, c *Chain, bytes, readers int) time.Duration {
	t.Helper()
	begin := time.Now()
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for left := bytes / readers; left > 0; {
				n := min(left, 32<<10)
				if err := c.Wait(t.Context(), n); err != nil {
					t.Error(err)
					return
				}
				left -= n
			}
		})
	}
	all.Wait()
	return time.Since(begin)
}

// within5 checks that bytes took the time that the rate says, in virtual time.
func within5(t *testing.T, took time.Duration, bytes int, rate float64) {
	t.Helper()
	if want := float64(bytes) / rate; took.Seconds() < want*0.95 || took.Seconds() > want*1.05 {
		t.Errorf("%d bytes took %s, at %.0f bytes per second they take %.2fs", bytes, took, rate, want)
	}
}

// TestRateHolds: at any rate, with one reader or many, in virtual time.
func TestRateHolds(t *testing.T) {
	for _, rate := range []string{"1KB", "64KiB", "1MB", "100MB"} {
		for _, readers := range []int{1, 4, 16} {
			synctest.Test(t, func(t *testing.T) {
				c := NewTree(Plan{}).Join("t", "j")
				defer c.Leave()
				p := plan(t, rate)
				c.SetJob(p)
				bytes := int(p.Rate) * 3
				within5(t, pass(t, c, bytes, readers), bytes, float64(p.Rate))
				if level, ok := c.Holds(3 * time.Second); level != Job || !ok {
					t.Errorf("held by %s: %v", level, ok)
				}
				if level, ok := c.Holds(3 * time.Second); ok {
					t.Errorf("at rest it is held by %s", level)
				}
			})
		}
	}
}

// TestLevels: the tightest level holds, and jobs of one tenant share its limit.
func TestLevels(t *testing.T) {
	for _, c := range []struct {
		name                string
		job, tenant, global string
		want                float64 // of two jobs of one tenant, together
		level               Level
	}{
		{"job", "1MB", "10MB", "10MB", 2e6, Job},
		{"tenant", "2MB", "1MB", "10MB", 1e6, Tenant},
		{"global", "2MB", "unlimited", "1MB", 1e6, Global},
		{"all the same", "1MB", "1MB", "1MB", 1e6, Tenant},
	} {
		synctest.Test(t, func(t *testing.T) {
			tree := NewTree(plan(t, c.global))
			var all sync.WaitGroup
			begin := time.Now()
			for i := range 2 {
				all.Go(func() {
					chain := tree.Join("t", strconv.Itoa(i))
					defer chain.Leave()
					chain.SetJob(plan(t, c.job))
					chain.SetTenant(plan(t, c.tenant))
					took := pass(t, chain, 4e6, 2)
					within5(t, took, 8e6, c.want)
					if level, ok := chain.Holds(took); (level != c.level || !ok) && c.name != "all the same" {
						t.Errorf("%s: held by %s: %v", c.name, level, ok)
					}
				})
			}
			all.Wait()
			within5(t, time.Since(begin), 8e6, c.want)
			if len(tree.tenants) != 0 || len(tree.jobs) != 0 {
				t.Errorf("%s: kept: %v, %v", c.name, tree.tenants, tree.jobs)
			}
			if c.name == "tenant" && tree.Waited(Tenant) < time.Second {
				t.Errorf("waited %s", tree.Waited(Tenant))
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		tree := NewTree(Plan{})
		a, b := tree.Join("a", "j"), tree.Join("b", "k")
		defer a.Leave()
		defer b.Leave()
		a.SetTenant(plan(t, "1MB"))
		if took := pass(t, b, 100e6, 4); took != 0 {
			t.Errorf("another tenant waits %s", took)
		}
	})
}

// TestFairShare: many connections win a job nothing, and many jobs a tenant.
func TestFairShare(t *testing.T) {
	for _, c := range []struct {
		name           string
		global, tenant string
		tenants        []string // of the jobs
		readers        []int
		want           []float64 // share of each job
	}{
		{"jobs of a tenant", "unlimited", "1MB", []string{"a", "a"}, []int{8, 1}, []float64{0.5, 0.5}},
		{"tenants", "1MB", "unlimited", []string{"a", "a", "a", "b"}, []int{4, 4, 4, 1}, []float64{1. / 6, 1. / 6, 1. / 6, 0.5}},
	} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			tree := NewTree(plan(t, c.global))
			passed := make([]atomic.Int64, len(c.tenants))
			var all sync.WaitGroup
			for i, tenant := range c.tenants {
				chain := tree.Join(tenant, strconv.Itoa(i))
				defer chain.Leave()
				chain.SetTenant(plan(t, c.tenant))
				for range c.readers[i] {
					all.Go(func() {
						for chain.Wait(ctx, 16<<10) == nil {
							passed[i].Add(16 << 10)
						}
					})
				}
			}
			all.Wait()
			for i := range passed {
				share := float64(passed[i].Load()) / 20e6
				if share < c.want[i]*0.95 || share > c.want[i]*1.05 {
					t.Errorf("%s: job %d had %.3f, not %.3f", c.name, i, share, c.want[i])
				}
			}
		})
	}
}

// TestWindowSwitches: a window opens and shuts at its minute, also for who is in
// the middle of it.
func TestWindowSwitches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // it begins on Saturday, 2000-01-01 00:00 UTC
		tree := NewTree(plan(t, "10MB", "Mon-Fri 08:00-18:00 UTC = 1MB"))
		c := tree.Join("t", "j")
		defer c.Leave()
		monday := time.Date(2000, 1, 3, 0, 0, 0, 0, time.UTC)
		time.Sleep(time.Until(monday.Add(8*time.Hour - 3*time.Second)))
		if tree.Rate() != 10e6 {
			t.Errorf("%s before the window", tree.Rate())
		}
		// Three seconds at 10 MB/s and the half megabyte of a burst, the rest at 1 MB/s.
		took := pass(t, c, 34.5e6, 4)
		if took < 6900*time.Millisecond || took > 7200*time.Millisecond {
			t.Errorf("over the opening it took %s, not 7s", took)
		}
		if tree.Rate() != 1e6 {
			t.Errorf("%s in the window", tree.Rate())
		}
		time.Sleep(time.Until(monday.Add(18*time.Hour - 2*time.Second)))
		took = pass(t, c, 12e6, 4) // 2 MB, then 10 MB
		if took < 2900*time.Millisecond || took > 3200*time.Millisecond {
			t.Errorf("over the end it took %s, not 3s", took)
		}
	})
}

// TestChangeWhileWaiting: a new limit is felt within a second, even by those who
// wait already for a very slow one.
func TestChangeWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewTree(Plan{}).Join("t", "j")
		defer c.Leave()
		c.SetJob(plan(t, "1KB"))
		time.AfterFunc(10*time.Second, func() { c.SetJob(plan(t, "10MB")) })
		if took := pass(t, c, 10e6, 8); took < 10900*time.Millisecond || took > 12*time.Second {
			t.Errorf("faster: it took %s, not 11s", took)
		}
		time.AfterFunc(time.Second, func() { c.SetJob(plan(t, "1MB")) })
		if took := pass(t, c, 12e6, 8); took < 2800*time.Millisecond || took > 3200*time.Millisecond {
			t.Errorf("slower: it took %s, not 3s", took)
		}
		time.AfterFunc(time.Second, func() { c.SetJob(Plan{}) })
		if took := pass(t, c, 1e9, 8); took < 900*time.Millisecond || took > 2*time.Second {
			t.Errorf("lifted: it took %s, not 1s", took)
		}
	})
}

// TestHoldsWhileWaiting: who waits for many others of its tenant says so all the
// time, although each turn comes seldom.
func TestHoldsWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		tree := NewTree(Plan{})
		var all sync.WaitGroup
		chains := make([]*Chain, 40) // a turn every two seconds
		for i := range chains {
			chains[i] = tree.Join("t", strconv.Itoa(i))
			defer chains[i].Leave()
			chains[i].SetTenant(plan(t, "1MB"))
			all.Go(func() {
				for chains[i].Wait(ctx, 64<<10) == nil {
				}
			})
		}
		time.Sleep(10 * time.Second)
		chains[7].Holds(10 * time.Second)
		for range 20 {
			time.Sleep(500 * time.Millisecond)
			if level, ok := chains[7].Holds(500 * time.Millisecond); level != Tenant || !ok {
				t.Errorf("held by %s: %v", level, ok)
			}
		}
		all.Wait()
	})
}

// TestHugeRate: the largest rate that can be said holds nothing up.
func TestHugeRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewTree(plan(t, "1024TiB")).Join("t", "j")
		defer c.Leave()
		if took := pass(t, c, 1<<30, 4); took > time.Millisecond {
			t.Errorf("it took %s", took)
		}
	})
}

// TestCancel: a wait ends with ctx, and what it had taken goes to others.
func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := NewTree(Plan{}).Join("t", "j")
		defer c.Leave()
		c.SetJob(plan(t, "1KB"))
		why := errors.New("cancelled")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(why) })
		begin := time.Now()
		if err := c.Wait(ctx, 1<<20); !errors.Is(err, why) || time.Since(begin) > time.Second {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
		c.Leave()
		within5(t, pass(t, c, 3000, 1), 3000, 1000)
	})
}

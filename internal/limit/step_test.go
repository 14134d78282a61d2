package limit

import (
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// TestSteps: the steps of a job share its limit, each keeps to its own, and those
// of the tenant and the node stand above.
func TestSteps(t *testing.T) {
	for _, c := range []struct {
		name                      string
		step, job, tenant, global string
		want                      float64 // of three steps of one job, together
		level                     Level
	}{
		{"step", "1MB", "unlimited", "unlimited", "unlimited", 3e6, Step},
		{"step below the others", "1MB", "10MB", "10MB", "10MB", 3e6, Step},
		{"job", "1MB", "1500KB", "10MB", "10MB", 1.5e6, Job},
		{"tenant", "1MB", "2MB", "900KB", "10MB", 0.9e6, Tenant},
		{"global", "unlimited", "unlimited", "2MB", "600KB", 0.6e6, Global},
	} {
		synctest.Test(t, func(t *testing.T) {
			tree := NewTree(plan(t, c.global))
			var all sync.WaitGroup
			for range 3 {
				chain := tree.Join("t", "j")
				chain.SetStep(plan(t, c.step))
				chain.SetJob(plan(t, c.job))
				chain.SetTenant(plan(t, c.tenant))
				all.Go(func() {
					defer chain.Leave()
					took := pass(t, chain, 4e6, 2)
					within5(t, took, 12e6, c.want)
					if level, ok := chain.Holds(took); level != c.level || !ok {
						t.Errorf("%s: held by %s: %v", c.name, level, ok)
					}
				})
			}
			all.Wait()
			if len(tree.tenants) != 0 || len(tree.jobs) != 0 {
				t.Errorf("%s: kept: %v, %v", c.name, tree.tenants, tree.jobs)
			}
		})
	}
}

// TestFairShareOfSteps: many steps win a job nothing.
func TestFairShareOfSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		tree := NewTree(Plan{})
		jobs := []int{0, 0, 0, 1} // of the steps
		var passed [2]atomic.Int64
		var all sync.WaitGroup
		for _, j := range jobs {
			chain := tree.Join("t", strconv.Itoa(j))
			defer chain.Leave()
			chain.SetTenant(plan(t, "1MB"))
			for range 2 {
				all.Go(func() {
					for chain.Wait(ctx, 16<<10) == nil {
						passed[j].Add(16 << 10)
					}
				})
			}
		}
		all.Wait()
		for j := range passed {
			if share := float64(passed[j].Load()) / 20e6; share < 0.475 || share > 0.525 {
				t.Errorf("job %d had %.3f, not a half", j, share)
			}
		}
	})
}

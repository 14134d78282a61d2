package store_test

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func benchScope(b *testing.B, id tenant.ID) tenant.Scope {
	b.Helper()
	scope, err := tenant.NewPrincipal(id, "bench", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		b.Fatal(err)
	}
	return scope
}

// BenchmarkSubmit is a durable submit (job, event and idempotency key) by one
// client and by 16 at once; jobs/s is what counts.
func BenchmarkSubmit(b *testing.B) {
	for _, clients := range []int{1, 16} {
		b.Run(fmt.Sprintf("clients=%d", clients), func(b *testing.B) {
			s := open(b, store.Options{})
			var n atomic.Int64
			b.SetParallelism(max(1, clients/runtime.GOMAXPROCS(0)))
			b.ResetTimer()
			if clients == 1 {
				for range b.N {
					submitOne(b, s, n.Add(1))
				}
			} else {
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						submitOne(b, s, n.Add(1))
					}
				})
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		})
	}
}

func submitOne(b *testing.B, s *store.Store, n int64) {
	if _, _, err := submit(b.Context(), s, fmt.Sprint(n)); err != nil {
		b.Error(err)
	}
}

// BenchmarkClaim claims and completes a job in tables of different size: the
// cost must not grow with the jobs that have ended or wait.
func BenchmarkClaim(b *testing.B) {
	for _, size := range []int{1_000, 100_000, 1_000_000} {
		if size > 100_000 && testing.Short() {
			continue
		}
		for _, tenants := range []int{1, 20} {
			b.Run(fmt.Sprintf("jobs=%d/tenants=%d", size, tenants), func(b *testing.B) {
				s := open(b, store.Options{Synchronous: store.Off})
				fill(b, s, size, tenants)
				var took []time.Duration
				for b.Loop() {
					begin := time.Now()
					leases, err := s.Claim(b.Context(), "a", time.Minute, 1)
					took = append(took, time.Since(begin))
					if err != nil || len(leases) != 1 {
						b.Fatal(len(leases), err)
					}
					if _, err := s.Apply(b.Context(), leases[0], job.RetryAt("a", nil, time.Now())); err != nil {
						b.Fatal(err)
					}
				}
				slices.Sort(took)
				for name, q := range map[string]int{"p50-µs": 50, "p99-µs": 99} {
					b.ReportMetric(float64(took[len(took)*q/100].Nanoseconds())/1e3, name)
				}
			})
		}
	}
}

// BenchmarkList reads the first page, counts it as the API does, and counts all
// jobs by state.
func BenchmarkList(b *testing.B) {
	s := open(b, store.Options{Synchronous: store.Off})
	fill(b, s, 100_000, 1)
	r := s.Reader(benchScope(b, tenant.Default))
	for name, call := range map[string]func() error{
		"page":    func() error { _, err := r.Jobs(b.Context(), service.Query{Limit: 51}, 0); return err },
		"count":   func() error { _, err := r.Count(b.Context(), service.Query{}, service.CountLimit+1); return err },
		"backlog": func() error { _, _, err := r.Backlog(b.Context()); return err },
	} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				if err := call(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// fill stores pending jobs of some tenants, half of them cancelled at once.
func fill(b *testing.B, s *store.Store, size, tenants int) {
	b.Helper()
	batch := min(1000, size/tenants)
	for done := 0; done < size; {
		id := tenant.Default
		if n := done / batch % tenants; n > 0 {
			id = tenant.ID(fmt.Sprintf("tenant-%d", n))
		}
		scope := benchScope(b, id)
		err := s.Update(b.Context(), scope, func(tx service.Tx) error {
			for range batch {
				j := job.New(fmt.Sprintf("fill-%d", done), string(id), job.Spec{VMPath: "/DC/vm/web-01"}.WithDefaults(), time.Now())
				if err := tx.Insert(&j); err != nil {
					return err
				}
				if done++; done%2 == 0 {
					continue
				}
				if _, _, err := tx.Cancel(j.ID, ""); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
}

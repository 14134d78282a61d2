package storetest

import (
	"maps"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func testPressure(w *world) {
	want := func(leases, expired int64, oldest map[job.Priority]time.Duration) {
		w.Helper()
		full := map[job.Priority]time.Duration{job.Critical: 0, job.High: 0, job.Normal: 0, job.Low: 0}
		maps.Copy(full, oldest)
		p, err := w.Pressure(w.ctx)
		w.must(err)
		if p.Leases != leases || p.Expired != expired || !maps.Equal(p.Oldest, full) {
			w.Fatalf("got %+v, want %d leases, %d expired, %v", p, leases, expired, full)
		}
	}
	want(0, 0, nil)
	later := w.now().Add(time.Hour)
	w.submit(priority(job.High), func(s *job.Spec) { s.NotBefore = &later })
	want(0, 0, nil)
	w.submit(priority(job.Low))
	w.advance(time.Minute)
	w.submitTo(w.theirs, priority(job.Low))
	w.submit(priority(job.Critical))
	w.advance(time.Second)
	want(0, 0, map[job.Priority]time.Duration{job.Low: time.Minute + time.Second, job.Critical: time.Second})
	w.claim()
	want(1, 0, map[job.Priority]time.Duration{job.Low: time.Minute + time.Second})
	w.advance(time.Second)
	leases, err := w.Claim(w.ctx, "a", lease, 5)
	w.must(err)
	if len(leases) != 2 {
		w.Fatalf("claimed %d", len(leases))
	}
	want(3, 0, nil)
	w.advance(lease + time.Second)
	want(3, 3, nil)
}

// testWritable: the check writes unless something was written just before, and
// wakes nobody.
func testWritable(w *world) {
	wake, stop := w.Watch(event.Queue)
	defer stop()
	w.must(w.Writable(w.ctx, 0))
	w.must(w.Writable(w.ctx, 0))
	w.must(w.Writable(w.ctx, time.Hour))
	select {
	case <-wake:
		w.Error("a check woke the dispatcher")
	default:
	}
}

func testTrace(w *world) {
	const submitted, ran = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-b7ad6b7169203331-01"
	caller := tenant.NewPrincipal(w.ours.Tenant(), "caller", tenant.All()...).From(tenant.Origin{Door: "rest", TraceParent: submitted})
	scope, err := caller.Scope(tenant.JobSubmit)
	w.must(err)
	w.must(w.Update(w.ctx, scope, func(tx service.Tx) error {
		j := job.New("traced", string(scope.Tenant()), job.Spec{VMPath: "/DC/vm/a"}.WithDefaults(), w.now())
		return tx.Insert(&j)
	}))
	l := w.claim()
	if l.Job.Trace != submitted || l.Job.RunTrace != "" {
		w.Fatalf("claimed with %q, %q", l.Job.Trace, l.Job.RunTrace)
	}
	w.must(w.SaveTrace(w.ctx, l, ran))
	w.apply(l, job.InterruptBy("a", "it stops"))
	next := w.claim()
	if next.Job.Trace != submitted || next.Job.RunTrace != ran {
		w.Fatalf("claimed again with %q, %q", next.Job.Trace, next.Job.RunTrace)
	}
	if err := w.SaveTrace(w.ctx, l, "stale"); !fault.Is(err, fault.Conflict) {
		w.Errorf("a stale lease wrote: %v", err)
	}
}

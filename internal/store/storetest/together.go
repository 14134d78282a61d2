package storetest

import (
	"slices"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// testClaimAtOnce: a claim for many starts the jobs, in the order, that as many
// claims for one start. The second tenant is at its limit before its queue ends,
// the third is paused, and some jobs are aged, which begins between two of them.
func testClaimAtOnce(w *world) {
	const jobs = 120 // more of a tenant's class than a claim reads ahead
	var want []string
	for _, n := range []int{1, 7, jobs / 2} {
		one := newWorld(w.T, w.open)
		tenants := []tenant.Scope{one.ours, one.theirs, scope(w.T, "others"), scope(w.T, "resting")}
		one.setTenant("ours", 2, 0, false)
		one.setTenant("theirs", 1, 9, false)
		one.setTenant("others", 3, 0, false)
		one.setTenant("resting", 1, 0, true)
		order := []job.Priority{job.Critical, job.Normal, job.Normal, job.Normal, job.Normal, job.Low}
		dice := dice(11)
		for range jobs {
			one.advance(20 * time.Second)
			one.submitTo(tenants[dice.IntN(len(tenants))], priority(order[dice.IntN(len(order))]))
		}
		one.advance(10 * time.Minute)
		var got []string
		for more := true; more; {
			leases, err := one.Claim(one.ctx, "a", time.Hour, n)
			one.must(err)
			for _, l := range leases {
				got = append(got, l.Job.ID)
			}
			more = len(leases) > 0
		}
		if want == nil {
			want = got
		}
		if !slices.Equal(got, want) {
			w.Errorf("%d at once:\n%v\none at a time:\n%v", n, got, want)
		}
	}
}

// testEndings: leases that end at the same time end each for itself, and one that is
// stale spoils no other.
func testEndings(w *world) {
	const lost, ours = 12, 20
	w.fill(lost+ours, w.ours)
	claim := func(node string, n int) []dispatch.Lease {
		leases, err := w.Claim(w.ctx, node, lease, n)
		w.must(err)
		if len(leases) != n {
			w.Fatalf("%d claimed, want %d", len(leases), n)
		}
		return leases
	}
	stale := claim("a", lost)
	w.advance(lease + time.Second)
	if _, err := w.Reap(w.ctx); err != nil {
		w.Fatal(err)
	}
	held := claim("b", lost+ours)
	for _, l := range held[:2] {
		w.cancel(l.Job.ID, "why")
	}
	var wg sync.WaitGroup
	errs := make([]error, len(held)+len(stale))
	for i, l := range append(slices.Clone(held), stale...) {
		end := job.CompleteWith(l.Job.Node, job.Outcome{BytesRead: 1})
		if i < 2 {
			end = job.SettleBy("b")
		}
		wg.Go(func() { _, errs[i] = w.Apply(w.ctx, l, end) })
	}
	wg.Wait()
	for i, err := range errs {
		if i >= len(held) {
			w.wantKind(err, fault.Conflict)
			continue
		}
		w.must(err)
		want, last := job.Completed, event.Completed
		if i < 2 {
			want, last = job.Cancelled, event.Cancelled
		}
		w.wantState(held[i].Job.ID, want)
		if kinds := w.kinds(held[i].Job.ID); slices.Index(kinds, last) != len(kinds)-1 {
			w.Errorf("events %v", kinds)
		}
	}
	used, err := w.Usage(w.ctx, w.ours, tenant.MonthOf(w.now()), tenant.MonthOf(w.now()))
	w.must(err)
	if len(used) != 1 || used[0].Completed != lost+ours-2 || used[0].Cancelled != 2 || used[0].BytesRead != lost+ours-2 {
		w.Errorf("used: %+v", used)
	}
}

package storetest

import (
	"reflect"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
)

func testClaimOrder(w *world) {
	var want [4][]string
	order := []job.Priority{job.Critical, job.High, job.Normal, job.Low}
	for i := range 12 {
		class := i * 7 % 4
		j := w.submit(priority(order[class]))
		want[class] = append(want[class], j.ID)
	}
	var got []string
	for len(got) < 12 {
		leases, err := w.Claim(w.ctx, "a", lease, 5)
		w.must(err)
		if len(leases) == 0 {
			w.Fatalf("nothing after %v", got)
		}
		for _, l := range leases {
			if l.Job.State != job.Running || l.Job.Attempt != 1 || l.Job.Node != "a" {
				w.Fatalf("claimed %+v", l.Job)
			}
			got = append(got, l.Job.ID)
		}
	}
	var flat []string
	for _, ids := range want {
		flat = append(flat, ids...)
	}
	if !reflect.DeepEqual(got, flat) {
		w.Errorf("got  %v\nwant %v", got, flat)
	}
}

func testDelayed(w *world) {
	at := w.now().Add(time.Hour)
	delayed := w.submit(priority(job.Critical), func(s *job.Spec) { s.NotBefore = &at })
	soon := w.submit(priority(job.Low))
	if got := w.job(delayed.ID).WaitReason; got != job.WaitNotBefore {
		w.Errorf("the delayed job waits for %q", got)
	}
	l := w.claim()
	if l.Job.ID != soon.ID {
		w.Fatalf("claimed %s", l.Job.ID)
	}
	w.apply(l, job.RetryAt("a", errTest, w.now().Add(2*time.Hour)))
	if leases, err := w.Claim(w.ctx, "a", lease, 5); err != nil || len(leases) != 0 {
		w.Fatalf("claimed %v, %v", leases, err)
	}
	w.advance(time.Hour)
	if l := w.claim(); l.Job.ID != delayed.ID || l.Job.NotBefore != nil {
		w.Fatalf("claimed %+v", l.Job)
	}
	w.advance(time.Hour)
	if l := w.claim(); l.Job.ID != soon.ID || l.Job.Attempt != 2 || l.Job.Error == nil {
		w.Fatalf("claimed %+v", l.Job)
	}
}

func testClaimOnce(w *world) {
	const n = 120
	for range n {
		w.submit()
	}
	var (
		mu    sync.Mutex
		count = map[string]int{}
		wg    sync.WaitGroup
	)
	for _, node := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			for {
				leases, err := w.Claim(w.ctx, node, lease, 3)
				if err != nil {
					w.Error(err)
				}
				if len(leases) == 0 {
					return
				}
				mu.Lock()
				for _, l := range leases {
					count[l.Job.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(count) != n {
		w.Errorf("%d of %d jobs were claimed", len(count), n)
	}
	for id, c := range count {
		if c != 1 {
			w.Errorf("%s was claimed %d times", id, c)
		}
	}
}

// testFence: once a job has changed hands, the old lease can do nothing.
func testFence(w *world) {
	stale := w.running()
	id := stale.Job.ID
	entry, err := w.Ledger(stale).Intend(w.ctx, "snapshot", "one")
	w.must(err)
	w.must(w.Checkpoints(stale).Append(w.ctx, "2000", 10, []byte("d"), []byte("r")))
	w.advance(lease + time.Second)
	n, err := w.Reap(w.ctx)
	w.must(err)
	if n != 1 {
		w.Fatalf("%d leases ran out", n)
	}
	attempt := func() {
		w.Helper()
		before := w.job(id)
		_, err := w.Renew(w.ctx, stale, lease, &job.Progress{Phase: "stale"})
		w.wantKind(err, fault.Conflict)
		for _, c := range []job.Change{
			job.CompleteWith("a", job.Outcome{}), job.FailWith("a", errTest), job.RetryAt("a", errTest, w.now()),
			job.InterruptBy("a", ""), job.SettleBy("a"),
		} {
			_, err := w.Apply(w.ctx, stale, c)
			w.wantKind(err, fault.Conflict)
		}
		w.wantKind(w.SaveToken(w.ctx, stale, []byte("stale")), fault.Conflict)
		w.wantKind(w.Checkpoints(stale).Append(w.ctx, "2000", 20, nil, nil), fault.Conflict)
		w.wantKind(w.Checkpoints(stale).Reset(w.ctx, "2000"), fault.Conflict)
		_, err = w.Ledger(stale).Intend(w.ctx, "snapshot", "two")
		w.wantKind(err, fault.Conflict)
		w.wantKind(w.Ledger(stale).Amend(w.ctx, entry, "three"), fault.Conflict)
		w.wantKind(w.Ledger(stale).Settle(w.ctx, entry), fault.Conflict)
		if after := w.job(id); !reflect.DeepEqual(after, before) {
			w.Fatalf("the stale lease made %+v of %+v", after, before)
		}
	}
	attempt() // nobody has it
	fresh, err := w.Claim(w.ctx, "b", lease, 1)
	w.must(err)
	attempt() // another one has it
	cp, found, err := w.Checkpoints(fresh[0]).Load(w.ctx, "2000")
	w.must(err)
	if !found || cp.Offset != 10 {
		w.Errorf("the checkpoint is %+v", cp)
	}
	open, err := w.Ledger(fresh[0]).Open(w.ctx)
	w.must(err)
	if len(open) != 1 || open[0].Ref != "one" {
		w.Errorf("the ledger has %+v", open)
	}
	w.apply(fresh[0], job.CompleteWith("b", job.Outcome{}))
	attempt() // it has ended
}

func testRenew(w *world) {
	l := w.running()
	w.advance(lease - time.Second)
	cancel, err := w.Renew(w.ctx, l, lease, &job.Progress{Phase: "copying", BytesRead: 5})
	w.must(err)
	w.advance(lease - time.Second)
	if n, err := w.Reap(w.ctx); cancel || n != 0 || err != nil {
		w.Fatalf("cancel %v, reaped %d, %v", cancel, n, err)
	}
	_, err = w.Renew(w.ctx, l, lease, nil)
	w.must(err)
	if p := w.job(l.Job.ID).Progress; p == nil || p.BytesRead != 5 {
		w.Errorf("progress is %+v", p)
	}
	w.cancel(l.Job.ID, "why")
	cancel, err = w.Renew(w.ctx, l, lease, nil)
	w.must(err)
	ids, err := w.Cancelling(w.ctx, "a")
	w.must(err)
	others, err := w.Cancelling(w.ctx, "b")
	w.must(err)
	if !cancel || !reflect.DeepEqual(ids, []string{l.Job.ID}) || len(others) != 0 {
		w.Errorf("cancel %v, for a %v, for b %v", cancel, ids, others)
	}
	w.apply(l, job.CompleteWith("a", job.Outcome{}))
	if p := w.job(l.Job.ID).Progress; p == nil || p.Percent != 100 || p.BytesRead != 5 {
		w.Errorf("progress of a completed job is %+v", p)
	}
}

func testInterrupt(w *world) {
	l := w.running(func(s *job.Spec) { s.MaxAttempts = 1 })
	w.must(w.SaveToken(w.ctx, l, []byte("token")))
	w.must(w.Checkpoints(l).Append(w.ctx, "2000", 10, []byte("d"), nil))
	for range 5 {
		j := w.apply(l, job.InterruptBy("a", "shutdown"))
		if j.State != job.Pending || j.Attempt != 0 || j.Node != "" || j.WaitReason != job.WaitSlot {
			w.Fatalf("got %+v", j)
		}
		l = w.claim()
		if l.Job.Attempt != 1 || string(l.Token) != "token" {
			w.Fatalf("claimed %+v with %q", l.Job, l.Token)
		}
	}
	if cp, found, err := w.Checkpoints(l).Load(w.ctx, "2000"); err != nil || !found || cp.Offset != 10 {
		w.Errorf("the checkpoint is %+v, %v", cp, err)
	}
}

func testTakeBack(w *world) {
	mine, cancelled := w.running(), w.running()
	w.cancel(cancelled.Job.ID, "")
	foreign := w.submit()
	_, err := w.Claim(w.ctx, "b", lease, 1)
	w.must(err)
	if n, err := w.TakeBack(w.ctx, "a"); n != 2 || err != nil {
		w.Fatalf("took back %d, %v", n, err)
	}
	w.wantState(mine.Job.ID, job.Pending)
	w.wantState(cancelled.Job.ID, job.Cancelling)
	w.wantState(foreign.ID, job.Running)
	if leases, err := w.ClaimCleanup(w.ctx, "b", lease, 5); err != nil || len(leases) != 1 || leases[0].Job.ID != cancelled.Job.ID {
		w.Errorf("for clean-up: %v, %v", leases, err)
	}
}

func testCancel(w *world) {
	fresh := w.submit()
	if j, changed := w.cancel(fresh.ID, "never ran"); !changed || j.State != job.Cancelled || j.CancelReason != "never ran" || j.FinishedAt == nil {
		w.Errorf("a fresh job: %+v", j)
	}
	if j, changed := w.cancel(fresh.ID, "again"); changed || j.State != job.Cancelled || j.CancelReason != "never ran" {
		w.Errorf("a cancelled job: %+v", j)
	}

	l := w.running()
	if j, changed := w.cancel(l.Job.ID, "runs"); !changed || j.State != job.Cancelling {
		w.Errorf("a running job: %+v", j)
	}
	if j, changed := w.cancel(l.Job.ID, "again"); changed || j.State != job.Cancelling || j.CancelReason != "runs" {
		w.Errorf("a cancelling job: %+v", j)
	}
	if leases, err := w.ClaimCleanup(w.ctx, "b", lease, 5); err != nil || len(leases) != 0 {
		w.Errorf("for clean-up while it is leased: %v, %v", leases, err)
	}
	if j := w.apply(l, job.SettleBy("a")); j.State != job.Cancelled || j.CancelReason != "runs" || j.Error != nil {
		w.Errorf("a settled job: %+v", j)
	}

	l = w.running()
	w.cancel(l.Job.ID, "late")
	w.apply(l, job.CompleteWith("a", job.Outcome{}))
	if j, changed := w.cancel(l.Job.ID, "later"); changed || j.State != job.Completed {
		w.Errorf("a completed job: %+v", j)
	}
}

// testCancelRanBefore: a pending job that ran before is cleaned up first.
func testCancelRanBefore(w *world) {
	l := w.running()
	w.apply(l, job.InterruptBy("a", ""))
	if j, changed := w.cancel(l.Job.ID, "ran"); !changed || j.State != job.Cancelling {
		w.Errorf("a job that ran before: %+v", j)
	}
	if leases, err := w.Claim(w.ctx, "b", lease, 5); err != nil || len(leases) != 0 {
		w.Errorf("a cancelling job is claimed to run: %v, %v", leases, err)
	}
	leases, err := w.ClaimCleanup(w.ctx, "b", lease, 5)
	w.must(err)
	w.apply(leases[0], job.SettleBy("b"))
	want := []event.Kind{event.Submitted, event.Started, event.Interrupted, event.Cancelling, event.Cancelled}
	if got := w.kinds(l.Job.ID); !reflect.DeepEqual(got, want) {
		w.Errorf("events %v", got)
	}
}

func testCleanupAgain(w *world) {
	l := w.running()
	w.cancel(l.Job.ID, "")
	w.apply(l, job.RetryAt("a", errTest, w.now().Add(time.Minute)))
	if leases, err := w.ClaimCleanup(w.ctx, "a", lease, 5); err != nil || len(leases) != 0 {
		w.Fatalf("too early: %v, %v", leases, err)
	}
	w.advance(time.Minute)
	leases, err := w.ClaimCleanup(w.ctx, "a", lease, 5)
	w.must(err)
	if len(leases) != 1 || leases[0].Job.Attempt != 1 {
		w.Fatalf("got %+v", leases)
	}
	w.advance(lease + time.Second)
	if n, err := w.Reap(w.ctx); n != 1 || err != nil {
		w.Fatalf("reaped %d, %v", n, err)
	}
	w.wantState(l.Job.ID, job.Cancelling)
	leases, err = w.ClaimCleanup(w.ctx, "a", lease, 5)
	w.must(err)
	w.apply(leases[0], job.SettleBy("a"))
	w.wantState(l.Job.ID, job.Cancelled)
}

func testCheckpoints(w *world) {
	l := w.running()
	c := w.Checkpoints(l)
	if _, found, err := c.Load(w.ctx, "2000"); found || err != nil {
		w.Fatalf("found one: %v", err)
	}
	w.must(c.Append(w.ctx, "2000", 100, []byte("d1"), []byte("r1")))
	w.must(c.Append(w.ctx, "2000", 200, []byte("d2"), nil))
	w.must(c.Append(w.ctx, "2001", 7, nil, []byte("x")))
	for range 2 { // whoever did not get the answer asks again
		w.must(c.Append(w.ctx, "2000", 300, []byte("d3"), []byte("r2")))
	}
	got, found, err := c.Load(w.ctx, "2000")
	w.must(err)
	if want := (dispatch.Checkpoint{Offset: 300, Digest: []byte("d3"), Records: [][]byte{[]byte("r1"), []byte("r2")}}); !found || !reflect.DeepEqual(got, want) {
		w.Errorf("got %+v", got)
	}
	w.must(c.Reset(w.ctx, "2000"))
	if _, found, err := c.Load(w.ctx, "2000"); found || err != nil {
		w.Errorf("it is still there: %v", err)
	}
	w.must(c.Append(w.ctx, "2000", 1, []byte("d"), []byte("r2")))
	if got, _, err := c.Load(w.ctx, "2000"); err != nil || len(got.Records) != 1 {
		w.Errorf("after a reset: %+v, %v", got, err)
	}
	w.must(w.SaveToken(w.ctx, l, []byte("token")))
	w.apply(l, job.FailWith("a", errTest))
	for _, disk := range []string{"2000", "2001"} {
		if _, found, err := c.Load(w.ctx, disk); found || err != nil {
			w.Errorf("the end left the checkpoint of %s: %v", disk, err)
		}
	}
}

func testLedger(w *world) {
	l := w.running()
	g := w.Ledger(l)
	a, err := g.Intend(w.ctx, "snapshot", "a")
	w.must(err)
	b, err := g.Intend(w.ctx, "lease", "b")
	w.must(err)
	w.must(g.Amend(w.ctx, a, "a2"))
	w.wantKind(g.Amend(w.ctx, "nobody", "x"), fault.NotFound)
	open, err := g.Open(w.ctx)
	w.must(err)
	id := l.Job.ID
	want := []provider.LedgerEntry{
		{ID: a, JobID: id, Provider: "vsphere", Kind: "snapshot", Ref: "a2"},
		{ID: b, JobID: id, Provider: "vsphere", Kind: "lease", Ref: "b"},
	}
	if !reflect.DeepEqual(open, want) {
		w.Errorf("open: %+v", open)
	}
	if left, err := w.Orphans(w.ctx); err != nil || len(left) != 0 {
		w.Errorf("orphans of a running job: %v, %v", left, err)
	}
	w.must(g.Settle(w.ctx, a))
	w.must(g.Settle(w.ctx, a))
	w.apply(l, job.FailWith("a", errTest))
	left, err := w.Orphans(w.ctx)
	w.must(err)
	if !reflect.DeepEqual(left, want[1:]) {
		w.Errorf("orphans: %+v", left)
	}
	w.must(w.Forget(w.ctx, b))
	w.must(w.Forget(w.ctx, b))
	if left, err := w.Orphans(w.ctx); err != nil || len(left) != 0 {
		w.Errorf("orphans after all: %v, %v", left, err)
	}
}

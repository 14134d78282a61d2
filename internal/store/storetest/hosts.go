package storetest

import (
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// take lets a running job read from the host one; it goes back if that is full.
func (w *world) take(l dispatch.Lease) (full bool) {
	w.Helper()
	err := w.Hosts(l).Take(w.ctx, "p", "one")
	if full = dispatch.IsHostFull(err); full {
		w.apply(l, job.YieldBy("a", fault.As(err).Msg))
		return true
	}
	w.must(err)
	return false
}

// reading returns a job that holds a slot.
func (w *world) reading() dispatch.Lease {
	w.Helper()
	l := w.running()
	if w.take(l) {
		w.Fatalf("there is no slot for %s", l.Job.ID)
	}
	return l
}

// parked returns a job that found its host full.
func (w *world) parked(edit ...func(*job.Spec)) job.Job {
	w.Helper()
	l := w.running(edit...)
	if !w.take(l) {
		w.Fatalf("%s has a slot beyond the limit", l.Job.ID)
	}
	j := w.job(l.Job.ID)
	if j.State != job.Pending || j.Attempt != 0 || j.StartedAt != nil || j.Error != nil || j.WaitReason != job.WaitHostLimit || j.Host != "p/one" {
		w.Fatalf("it waits as %+v", j)
	}
	return j
}

// testHostSlots: no more jobs than slots read from a host, those that found it
// full are not started before one is free, and then in the order of admission.
func testHostSlots(w *world) {
	free := w.running() // before there is a limit
	if w.take(free) || w.job(free.Job.ID).Host != "" {
		w.Error("without a limit a slot is counted")
	}
	w.must(w.LimitHosts(w.ctx, "p", 2))
	first, second := w.reading(), w.reading()
	if w.take(first) {
		w.Error("a job that has a slot does not get it again")
	}
	low := w.parked(priority(job.Low))
	high := w.parked(priority(job.High))
	if got := w.kinds(low.ID); got[len(got)-1] != event.Waiting {
		w.Errorf("the events are %v", got)
	}
	w.wantClaims("b", 9, "") // neither
	elsewhere := w.running()
	w.must(w.Hosts(elsewhere).Take(w.ctx, "p", "two"))
	w.must(w.Hosts(elsewhere).Take(w.ctx, "q", "one")) // another provider's
	w.must(w.Hosts(first).Free(w.ctx))
	w.must(w.Hosts(first).Free(w.ctx))
	l := w.wantClaims("b", 9, "o")[0]
	if l.Job.ID != high.ID || w.take(l) {
		w.Errorf("claimed %+v", l.Job)
	}
	w.apply(second, job.RetryAt("a", errTest, w.now().Add(time.Minute)))
	if l = w.wantClaims("b", 9, "o")[0]; l.Job.ID != low.ID {
		w.Errorf("claimed %+v", l.Job)
	}
	w.advance(time.Minute)
	w.wantClaims("b", 9, "") // the one to be retried: its host is known and full
	if got := w.job(second.Job.ID).WaitReason; got != job.WaitHostLimit {
		w.Errorf("it waits for %q", got)
	}
	w.must(w.LimitHosts(w.ctx, "p", 3))
	w.wantClaims("b", 9, "o")
	if len(w.wantClaims("b", 9, "")) > 0 {
		w.Error("there is no job left")
	}
}

// testHostLeases: a slot is free in the moment in which the lease ends, however
// it does.
func testHostLeases(w *world) {
	w.must(w.LimitHosts(w.ctx, "p", 1))
	for name, end := range map[string]func(l dispatch.Lease){
		"complete":  func(l dispatch.Lease) { w.apply(l, job.CompleteWith("a", job.Outcome{})) },
		"fail":      func(l dispatch.Lease) { w.apply(l, job.FailWith("a", errTest)) },
		"interrupt": func(l dispatch.Lease) { w.apply(l, job.InterruptBy("a", "")) },
		"cancel": func(l dispatch.Lease) {
			w.cancel(l.Job.ID, "")
			w.wantClaims("b", 9, "")
			w.apply(l, job.SettleBy("a"))
		},
		"reap": func(dispatch.Lease) {
			w.advance(lease + time.Second)
			_, err := w.Reap(w.ctx)
			w.must(err)
		},
		"take back": func(dispatch.Lease) {
			_, err := w.TakeBack(w.ctx, "a")
			w.must(err)
		},
	} {
		holds := w.reading()
		waits, paused, cancelled := w.parked(priority(job.Critical)), w.parked(priority(job.Critical)), w.parked(priority(job.Critical))
		if got := w.mustChange(paused.ID, job.PauseBy("", "")); got.WaitReason != job.WaitPaused {
			w.Errorf("it waits for %q", got.WaitReason)
		}
		w.cancel(cancelled.ID, "")
		end(holds)
		if err := w.Hosts(holds).Take(w.ctx, "p", "one"); !fault.Is(err, fault.Conflict) {
			w.Errorf("%s: a stale lease takes a slot: %v", name, err)
		}
		l := w.claim()
		if l.Job.ID != waits.ID {
			w.Fatalf("%s: claimed %+v", name, l.Job)
		}
		if got := w.mustChange(paused.ID, job.ResumeBy("")); got.WaitReason != job.WaitHostLimit {
			w.Errorf("%s: it waits for %q", name, got.WaitReason)
		}
		w.apply(l, job.CompleteWith("a", job.Outcome{}))
		if l = w.claim(); l.Job.ID != paused.ID {
			w.Fatalf("%s: claimed %+v", name, l.Job)
		}
		w.apply(l, job.CompleteWith("a", job.Outcome{}))
		w.clear()
	}
}

// testHostSteps: parallel steps of one job hold a slot each, and give it back each
// on its own.
func testHostSteps(w *world) {
	w.must(w.LimitHosts(w.ctx, "p", 2))
	l := w.running()
	one, two := w.Hosts(l).Of("one"), w.Hosts(l).Of("two")
	w.must(one.Take(w.ctx, "p", "one"))
	w.must(two.Take(w.ctx, "p", "one"))
	w.parked()
	w.must(one.Free(w.ctx))
	last := w.claim() // with the slot that one gave back
	w.must(two.Take(w.ctx, "p", "two"))
	if w.take(w.running()) {
		w.Error("a step that went to another host keeps the slot of the one before")
	}
	w.parked()
	w.apply(last, job.CompleteWith("a", job.Outcome{}))
	w.claim()
	w.apply(l, job.InterruptBy("a", ""))
	if l = w.claim(); l.Job.Host != "p/two" {
		w.Errorf("it goes on with %+v", l.Job)
	}
	w.must(w.Hosts(l).Of("two").Take(w.ctx, "p", "two"))
}

func testExplainHost(w *world) {
	w.must(w.LimitHosts(w.ctx, "p", 2))
	w.setTenant("ours", 1, 0, false)
	mine := w.reading()
	w.submitTo(w.theirs)
	theirs := w.claim()
	if w.take(theirs) {
		w.Fatal("there is no second slot")
	}
	w.parked()
	last := w.parked(priority(job.Low))
	x, err := w.Reader(w.ours).Explain(w.ctx, last.ID, 0)
	w.must(err)
	h := x.Host
	if h.Name != "p/one" || h.Limit != 2 || h.Held != 2 || !slices.Equal(h.Jobs, []string{mine.Job.ID}) || h.Others != 1 {
		w.Errorf("the host is %+v", h)
	}
	want := []admission.Action{{Kind: admission.ActPriority, To: job.Critical}, {Kind: admission.ActRaiseHostLimit, Host: "p/one", N: 3}, {Kind: admission.ActAddWorkers, N: 1}}
	if v := x.Verdict; v.Reason != job.WaitHostLimit || v.Ahead != 1 || v.OnHost != 1 || !slices.Equal(v.Remedy, want) {
		w.Errorf("the verdict is %+v", v)
	}
}

package storetest

import (
	"reflect"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

func testPause(w *world) {
	first, second := w.submit(), w.submit()
	if j := w.mustChange(first.ID, job.PauseBy("", "why")); !j.Paused || j.WaitReason != job.WaitPaused {
		w.Errorf("paused: %+v", j)
	}
	if _, changed, err := w.change(first.ID, job.PauseBy("", "again")); changed || err != nil {
		w.Errorf("paused again: %v, %v", changed, err)
	}
	if l := w.claim(); l.Job.ID != second.ID {
		w.Fatalf("claimed %s", l.Job.ID)
	}
	third := w.submit()
	w.advance(time.Minute)
	if j := w.mustChange(first.ID, job.ResumeBy("")); j.Paused || !j.ReadyAt.Equal(w.now()) {
		w.Errorf("resumed: %+v", j)
	}
	if l := w.claim(); l.Job.ID != first.ID {
		w.Fatalf("claimed %s before its turn", l.Job.ID)
	}
	w.wantKind(errOf(w.change(first.ID, job.PauseBy("", ""))), fault.Conflict)
	want := []event.Kind{event.Submitted, event.Paused, event.Resumed, event.Started}
	if got := w.kinds(first.ID); !reflect.DeepEqual(got, want) {
		w.Errorf("events %v", got)
	}

	// A pause outlasts the time that the job waits for, and the other way round.
	w.apply(w.claim(), job.RetryAt("a", errTest, w.now().Add(time.Minute)))
	w.mustChange(third.ID, job.PauseBy("", ""))
	w.advance(30 * time.Second)
	w.mustChange(third.ID, job.ResumeBy(""))
	w.wantClaims("a", 5, "")
	w.mustChange(third.ID, job.PauseBy("", ""))
	w.advance(time.Minute)
	w.wantClaims("a", 5, "")
	w.mustChange(third.ID, job.ResumeBy(""))
	w.wantClaims("a", 5, "o")
	w.wantState(third.ID, job.Running)
}

func errOf(_ job.Job, _ bool, err error) error { return err }

func testPrioritize(w *world) {
	a, b, c := w.submit(), w.submit(priority(job.High)), w.submit()
	if j := w.mustChange(c.ID, job.PrioritizeBy("", job.Critical)); j.Priority != job.Critical || j.Spec.Priority != job.Normal {
		w.Errorf("got %+v", j)
	}
	w.mustChange(b.ID, job.PrioritizeBy("", job.Low))
	if _, changed, err := w.change(b.ID, job.PrioritizeBy("", job.Low)); changed || err != nil {
		w.Errorf("the same again: %v, %v", changed, err)
	}
	for _, want := range []string{c.ID, a.ID, b.ID} {
		if l := w.claim(); l.Job.ID != want {
			w.Fatalf("claimed %s, want %s", l.Job.ID, want)
		}
	}
	events, err := w.Reader(w.ours).Events(w.ctx, c.ID, 0, 10)
	w.must(err)
	if e := events[1]; e.Kind != event.Reprioritized || e.Data.Priority != job.Critical || e.Actor != "tester" {
		w.Errorf("got %+v", e)
	}
}

// testRestart: of a job that ended nothing is left but its history.
func testRestart(w *world) {
	for _, cancelled := range []bool{false, true} {
		l := w.running()
		w.must(w.Checkpoints(l).Append(w.ctx, "2000", 10, []byte("d"), []byte("r")))
		w.must(w.SaveToken(w.ctx, l, []byte("token")))
		_, err := w.Renew(w.ctx, l, lease, &job.Progress{Phase: "copying"})
		w.must(err)
		w.wantKind(errOf(w.change(l.Job.ID, job.RestartBy(""))), fault.Conflict)
		end := job.FailWith("a", errTest)
		if cancelled {
			w.cancel(l.Job.ID, "why")
			end = job.SettleBy("a")
		}
		w.apply(l, end)
		w.advance(time.Minute)
		w.mustChange(l.Job.ID, job.RestartBy(""))
		j := w.job(l.Job.ID)
		if j.State != job.Pending || j.Attempt != 0 || j.Progress != nil || j.FinishedAt != nil || j.CancelReason != "" || !j.ReadyAt.Equal(w.now()) {
			w.Errorf("restarted: %+v", j)
		}
		again := w.claim()
		if again.Job.ID != j.ID || again.Job.Attempt != 1 || again.Token != nil || again.Job.Epoch <= l.Job.Epoch {
			w.Errorf("claimed %+v", again)
		}
		if _, found, err := w.Checkpoints(again).Load(w.ctx, "2000"); found || err != nil {
			w.Errorf("a checkpoint is left: %v", err)
		}
		_, err = w.Apply(w.ctx, l, end)
		w.wantKind(err, fault.Conflict)
		w.apply(again, job.CompleteWith("a", job.Outcome{}))
		w.wantKind(errOf(w.change(j.ID, job.RestartBy(""))), fault.Conflict)
	}
}

func testRestartRetrying(w *world) {
	l := w.running()
	w.apply(l, job.RetryAt("a", errTest, w.now().Add(time.Hour)))
	if j := w.mustChange(l.Job.ID, job.RestartBy("")); j.NotBefore != nil || j.Attempt != 1 {
		w.Errorf("got %+v", j)
	}
	if l := w.claim(); l.Job.Attempt != 2 {
		w.Errorf("claimed %+v", l.Job)
	}
	at := w.now().Add(time.Hour)
	waits := w.submit(func(s *job.Spec) { s.NotBefore = &at })
	if _, changed, err := w.change(waits.ID, job.RestartBy("")); changed || err != nil {
		w.Errorf("a job that never ran: %v, %v", changed, err)
	}
}

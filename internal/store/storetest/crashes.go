package storetest

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// testCrashes: what a job's workers were lost without progress is counted with its
// lease, from one again after progress; a shutdown in order does not count.
func testCrashes(w *world) {
	l := w.running()
	lost := func(want int, offset int64) {
		w.Helper()
		if offset > 0 {
			w.must(w.Checkpoints(l).Append(w.ctx, "2000", offset, nil, nil))
		}
		w.advance(lease + time.Second)
		_, err := w.Reap(w.ctx)
		w.must(err)
		l = w.claim()
		if l.Crashes != want {
			w.Errorf("%d crashes, want %d", l.Crashes, want)
		}
	}
	lost(1, 0)
	lost(2, 0)
	lost(1, 10) // it came further
	w.apply(l, job.InterruptBy("a", ""))
	l = w.claim()
	lost(2, 0)
	w.must(w.Checkpoints(l).Reset(w.ctx, "2000"))
	lost(3, 5) // as far as it was before is no progress
	w.must(w.Steps(l).Save(w.ctx, 0, job.StepState{ID: "one", State: job.StepRunning}, nil))
	lost(1, 0)
	w.apply(l, job.FailWith("a", errTest))
	_, _, err := w.change(l.Job.ID, job.RestartBy("user"))
	w.must(err)
	l = w.claim()
	lost(1, 0)
}

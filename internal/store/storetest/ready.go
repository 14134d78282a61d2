package storetest

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

func testReady(w *world) {
	want := func(n int, since time.Time) {
		w.Helper()
		got, oldest, err := w.Ready(w.ctx, 4)
		w.must(err)
		if got != n || !oldest.Equal(since) {
			w.Fatalf("%d wait since %v, want %d since %v", got, oldest, n, since)
		}
	}
	want(0, time.Time{})
	begin := w.now()
	later := begin.Add(time.Hour)
	w.submit(func(s *job.Spec) { s.NotBefore = &later })
	want(0, time.Time{})
	w.advance(time.Minute)
	w.submitTo(w.theirs, priority(job.Low))
	w.advance(time.Minute)
	w.submit(priority(job.Critical))
	want(2, begin.Add(time.Minute))
	w.claim()
	want(1, begin.Add(time.Minute))
	w.claim()
	want(0, time.Time{})
	w.advance(2 * time.Hour) // nobody looked, so the delayed one is not promoted yet
	want(1, later)
	for range 9 {
		w.submit()
	}
	want(4, later)
}

package storetest

import (
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// testLog: each event gets one place, and a tenant reads its own in order.
func testLog(w *world) {
	wake, stop := w.Watch(event.Log)
	defer stop()
	first := w.submit()
	w.submitTo(w.theirs)
	w.cancel(first.ID, "")
	if left := w.log(w.ours, 0); len(left) != 0 {
		w.Errorf("%d events have places before anybody gave them", len(left))
	}
	if n := w.sequence(2) + w.sequence(2) + w.sequence(2); n != 3 {
		w.Errorf("%d places were given to 3 events", n)
	}
	<-wake
	ours, theirs := w.log(w.ours, 0), w.log(w.theirs, 0)
	if len(ours) != 2 || len(theirs) != 1 || ours[0].Pos != 1 || theirs[0].Pos != 2 || ours[1].Pos != 3 {
		w.Fatalf("ours %+v, theirs %+v", ours, theirs)
	}
	if ours[0].Kind != event.Submitted || ours[1].Kind != event.Cancelled || ours[0].Seq >= ours[1].Seq {
		w.Errorf("%+v", ours)
	}
	if rest := w.log(w.ours, 1); len(rest) != 1 || rest[0].Pos != 3 {
		w.Errorf("behind 1: %+v", rest)
	}
	if size, err := w.Reader(w.ours).LogSize(w.ctx); err != nil || size != 3 {
		w.Errorf("the log has %d places, %v", size, err)
	}
}

// testLogOrder: whoever reads behind the last place that it saw, while many write
// and the sequencer runs, gets every event once.
func testLogOrder(w *world) {
	const writers, each = 8, 15
	var writing sync.WaitGroup
	for range writers {
		drafts := make([]job.Job, each)
		for i := range drafts {
			drafts[i] = w.draft(w.ours)
		}
		writing.Go(func() {
			for _, j := range drafts {
				if err := w.Update(w.ctx, w.ours, func(tx service.Tx) error { return tx.Insert(&j) }); err != nil {
					w.Error(err)
				}
			}
		})
	}
	seen, after := map[int64]bool{}, int64(0)
	defer writing.Wait()
	for deadline := time.Now().Add(time.Minute); len(seen) < writers*each && time.Now().Before(deadline); {
		w.sequence(7)
		for _, e := range w.log(w.ours, after) {
			if seen[e.Seq] || e.Pos != after+1 {
				w.Fatalf("event %d at %d behind %d; seen before: %v", e.Seq, e.Pos, after, seen[e.Seq])
			}
			seen[e.Seq], after = true, e.Pos
		}
	}
	writing.Wait()
	if len(seen) != writers*each {
		w.Errorf("%d of %d events were read", len(seen), writers*each)
	}
}

func (w *world) sequence(limit int) int64 {
	w.Helper()
	n, err := w.Sequence(w.ctx, limit)
	if err != nil {
		w.Fatal(err)
	}
	return n
}

func (w *world) log(s tenant.Scope, after int64) []event.Event {
	w.Helper()
	events, err := w.Reader(s).Log(w.ctx, after, 100)
	if err != nil {
		w.Fatal(err)
	}
	return events
}

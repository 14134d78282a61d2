package storetest

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const sinkTime = time.Minute

// logged puts entries into the log, with a checkpoint behind them.
func (w *world) logged(n int) {
	w.Helper()
	for range n {
		w.must(w.AppendRefusals(w.ctx, []event.Refusal{{Actor: "x", Operation: "enter", Count: 1, Time: w.now()}}))
	}
	w.sequence(n)
}

func (w *world) register(node string, sinks ...string) {
	w.Helper()
	for _, s := range sinks {
		w.must(w.RegisterSinks(w.ctx, node, []auditsink.Named{{Name: s, Kind: "file"}}))
	}
}

// begin wants a batch of places, or none for so long.
func (w *world) begin(sink, node string, from, to int64, wait time.Duration) *auditsink.Batch {
	w.Helper()
	b, d, err := w.BeginBatch(w.ctx, auditsink.Claim{Sink: sink, Node: node, Limit: 5, Time: sinkTime})
	w.must(err)
	switch {
	case b == nil && (from != 0 || d != wait):
		w.Fatalf("no batch for %s, want places %d to %d, or none for %s", d, from, to, wait)
	case b != nil && (b.From != from || b.To != to || b.Lines[0].Pos != from || int64(len(b.Lines)) != to-from+1):
		w.Fatalf("%d to %d, %d lines; want %d to %d", b.From, b.To, len(b.Lines), from, to)
	}
	return b
}

func (w *world) settleSink(b *auditsink.Batch, r auditsink.Result) {
	w.Helper()
	w.must(w.SettleBatch(w.ctx, b, r))
}

func (w *world) sink(name string) audit.Sink {
	w.Helper()
	all, err := w.AuditSinks(w.ctx, w.platform())
	w.must(err)
	for _, s := range all {
		if s.Name == name {
			return s
		}
	}
	w.Fatalf("there is no sink %s", name)
	return audit.Sink{}
}

// testSinks: each sink gets everything in order from a place of its own, a failure
// leaves it where it is, and holds up no other.
func testSinks(w *world) {
	w.sign()
	wake, stop := w.Watch(event.Log)
	defer stop()
	w.register("a", "good", "bad")
	w.begin("good", "a", 0, 0, 0)
	begin := w.now()
	w.logged(3)
	<-wake
	w.advance(time.Hour)
	w.logged(4)
	// A batch ends with a checkpoint where it can: 3 + 4 are more than 5.
	b := w.begin("good", "a", 1, 3, 0)
	if !b.More || b.Lines[2].Checkpoint == "" {
		w.Errorf("%+v", b)
	}
	w.settleSink(b, auditsink.Result{Done: true})
	b = w.begin("good", "a", 4, 7, 0)
	if b.More || b.Failures != 0 {
		w.Errorf("%+v", b)
	}
	w.settleSink(b, auditsink.Result{Done: true, Pause: time.Minute})
	w.logged(1)
	w.begin("good", "a", 0, 0, time.Minute) // the pause holds, whatever is logged
	w.sinkFails(begin)
	w.sinkRecovers()
	if all, err := w.AuditSinks(w.ctx, tenant.PlatformScope{}); err != nil || len(all) != 0 {
		w.Errorf("who has no platform scope sees %+v, %v", all, err)
	}
}

// sinkFails has the sink bad fail while another one has 7 of 8 places.
func (w *world) sinkFails(begin time.Time) {
	w.Helper()
	for i := range 3 {
		b := w.begin("bad", "a", 1, 3, 0)
		if b.Failures != i {
			w.Errorf("%d failures, want %d", b.Failures, i)
		}
		w.settleSink(b, auditsink.Result{Error: "HX-X-001 no", Pause: time.Second})
		w.begin("bad", "a", 0, 0, time.Second)
		w.advance(time.Second)
	}
	if s := w.sink("bad"); s.Pos != 0 || s.Behind != 8 || !s.Oldest.Equal(begin) || s.Failures != 3 || s.Error != "HX-X-001 no" || !s.Took.IsZero() || s.Kind != "file" || s.State() != "failing" {
		w.Errorf("%+v", s)
	}
	if s := w.sink("good"); s.Pos != 7 || s.Behind != 1 || s.Failures != 0 || s.Took.IsZero() || s.Node != "a" || s.State() != "behind" || s.Lag(w.now()) != 3*time.Second {
		w.Errorf("%+v", s)
	}
}

// sinkRecovers has the sink bad take what it refused.
func (w *world) sinkRecovers() {
	w.Helper()
	w.settleSink(w.begin("bad", "a", 1, 3, 0), auditsink.Result{Done: true})
	if s := w.sink("bad"); s.Pos != 3 || s.Failures != 0 || s.Error != "" {
		w.Errorf("%+v", s)
	}
}

// testSinkBatch: after a crash the same places are sent again, whatever was logged
// meanwhile; a batch that was broken off counts as no failure; a log that nobody
// signs is carried, too.
func testSinkBatch(w *world) {
	w.register("a", "s")
	w.logged(2)
	w.begin("s", "a", 1, 2, 0)
	w.sign()
	w.logged(2)
	w.register("a", "s") // a is there again
	b := w.begin("s", "a", 1, 2, 0)
	w.settleSink(b, auditsink.Result{})
	if s := w.sink("s"); s.Failures != 0 || s.Error != "" || s.Pos != 0 {
		w.Errorf("%+v", s)
	}
	w.settleSink(w.begin("s", "a", 1, 2, 0), auditsink.Result{Done: true, Pause: time.Hour})
	w.begin("s", "a", 0, 0, time.Hour)
	w.register("a", "s") // who starts anew tries at once
	w.settleSink(w.begin("s", "a", 3, 4, 0), auditsink.Result{Done: true})
	w.begin("s", "a", 0, 0, 0)
}

// testSinkNodes: what one node has on its way no other gets before its time is over,
// and then the first can record nothing.
func testSinkNodes(w *world) {
	w.sign()
	w.register("a", "s")
	w.logged(2)
	late := w.begin("s", "a", 1, 2, 0)
	w.register("b", "s")
	w.begin("s", "b", 0, 0, 2*time.Second) // it may be settled earlier
	w.advance(sinkTime)
	b := w.begin("s", "b", 1, 2, 0)
	w.wantKind(w.SettleBatch(w.ctx, late, auditsink.Result{Done: true}), fault.Conflict)
	if s := w.sink("s"); s.Pos != 0 || s.Node != "b" {
		w.Errorf("%+v", s)
	}
	w.settleSink(b, auditsink.Result{Done: true})
	w.wantKind(w.SettleBatch(w.ctx, b, auditsink.Result{Done: true}), fault.Conflict)
	if s := w.sink("s"); s.Pos != 2 || s.Behind != 0 || !s.Oldest.IsZero() || s.State() != "current" {
		w.Errorf("%+v", s)
	}
}

package storetest

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/node"
)

func testNodes(w *world) {
	const ttl = 15 * time.Second
	a := node.Node{ID: "a", Host: "host", URL: "http://a", Version: "v1", State: node.Alive, Workers: 4, Busy: 2, StartedAt: w.now()}
	b := node.Node{ID: "b", Host: "host", Version: "v1", State: node.Alive, StartedAt: w.now()}
	w.must(w.Beat(w.ctx, a, "one", ttl, true))
	w.must(w.Beat(w.ctx, b, "two", ttl, true))
	states := func(want ...node.State) (all []node.Node) {
		w.Helper()
		all, err := w.Nodes(w.ctx)
		w.must(err)
		if len(all) != len(want) {
			w.Fatalf("%d nodes, want %v", len(all), want)
		}
		for i, n := range all {
			if n.State != want[i] {
				w.Fatalf("%s is %s, want %s", n.ID, n.State, want[i])
			}
		}
		return all
	}
	a.LastSeen = w.now()
	if got := states(node.Alive, node.Alive)[0]; got != a {
		w.Errorf("listed %+v\ntold   %+v", got, a)
	}
	w.advance(10 * time.Second)
	a.State = node.Draining
	w.must(w.Beat(w.ctx, a, "one", ttl, false))
	w.advance(10 * time.Second)
	states(node.Draining, node.Lost)

	// Another life of the same node takes the id over; the old one is told.
	w.must(w.Beat(w.ctx, b, "three", ttl, true))
	w.wantKind(w.Beat(w.ctx, b, "two", ttl, false), fault.Conflict)
	w.must(w.Leave(w.ctx, "b", "two"))
	states(node.Draining, node.Alive)
	w.must(w.Leave(w.ctx, "a", "one"))
	states(node.Alive)

	// A lost node is forgotten after a day.
	w.advance(25 * time.Hour)
	states(node.Lost)
	w.must(w.Beat(w.ctx, a, "four", ttl, true))
	states(node.Draining)
}

package storetest

import (
	"maps"
	"time"

	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/node"
)

func testTransfers(w *world) {
	const ttl = 30 * time.Second
	sees := func(id string, alone bool, want map[string]limit.Count) {
		w.Helper()
		got, isAlone, err := w.Counts(w.ctx, id)
		w.must(err)
		if !maps.Equal(got, want) || isAlone != alone {
			w.Errorf("%s sees %v, alone: %v; want %v, %v", id, got, isAlone, want, alone)
		}
	}
	sees("a", true, map[string]limit.Count{})
	w.must(w.Beat(w.ctx, node.Node{ID: "a", State: node.Alive}, "one", ttl/2, true))
	w.must(w.Post(w.ctx, "a", map[string]int{"x": 2, "y": 1}, ttl))
	sees("a", true, map[string]limit.Count{"x": {Own: 2, All: 2}, "y": {Own: 1, All: 1}})
	w.must(w.Beat(w.ctx, node.Node{ID: "b", State: node.Alive}, "two", ttl, true))
	w.advance(20 * time.Second)
	w.must(w.Post(w.ctx, "b", map[string]int{"x": 1, "z": 4}, ttl))
	sees("a", false, map[string]limit.Count{"x": {Own: 2, All: 3}, "y": {Own: 1, All: 1}, "z": {All: 4}})
	sees("b", true, map[string]limit.Count{"x": {Own: 1, All: 3}, "y": {All: 1}, "z": {Own: 4, All: 4}}) // a gave no sign of life
	w.must(w.Post(w.ctx, "b", map[string]int{"x": 3}, ttl))
	sees("b", true, map[string]limit.Count{"x": {Own: 3, All: 5}, "y": {All: 1}})
	w.advance(ttl/2 - time.Second)
	sees("b", true, map[string]limit.Count{"x": {Own: 3, All: 3}})
	w.must(w.Post(w.ctx, "b", nil, ttl))
	sees("b", true, map[string]limit.Count{})
}

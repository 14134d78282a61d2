package rest

import (
	"context"
	"sync"
	"testing"
)

// More requests at once than the crew has hands: each runs, none waits for another,
// and a panic is that of its caller.
func TestCrew(t *testing.T) {
	t.Parallel()
	ctx, stop := context.WithCancel(t.Context())
	c := newCrew(ctx.Done())
	const n = maxHands + 10
	for range 2 { // the second time there are hands already
		var together, all sync.WaitGroup
		together.Add(n)
		for range n {
			all.Go(func() {
				c.run(func() {
					together.Done()
					together.Wait() // all n are inside at once
				})
			})
		}
		all.Wait()
	}
	caught := func() (v any) {
		defer func() { v = recover() }()
		c.run(func() { panic("x") })
		return nil
	}
	if got := caught(); got != "x" {
		t.Errorf("the caller sees %v", got)
	}
	if hands := c.hands.Load(); hands > maxHands {
		t.Errorf("%d hands", hands)
	}
	stop()
	if got := caught(); got != "x" { // a hand of its own, which goes then
		t.Errorf("the caller sees %v", got)
	}
}

package rest

import "sync/atomic"

// crew runs requests on goroutines that ran others before. HTTP/2 gives each request
// a goroutine of its own, whose small stack would be copied several times to take
// what a database call needs: a tenth of the time of a short one.
type crew struct {
	end   <-chan struct{} // of all hands
	turns chan turn
	hands atomic.Int64
}

// maxHands bounds the goroutines of the crew; more requests than that at once, such
// as streams, run where they are.
const maxHands = 64

type turn struct {
	do   func()
	done chan any // gets what do panicked with, or nil
}

func newCrew(end <-chan struct{}) *crew { return &crew{end: end, turns: make(chan turn)} }

// run does what do does, panics included, and returns when it is done.
func (c *crew) run(do func()) {
	t := turn{do: do, done: make(chan any, 1)}
	select {
	case c.turns <- t:
	default:
		if c.hands.Add(1) > maxHands {
			c.hands.Add(-1)
			do()
			return
		}
		go c.work(t) // until the end; it holds nothing then
	}
	if v := <-t.done; v != nil {
		panic(v)
	}
}

func (c *crew) work(t turn) {
	defer c.hands.Add(-1)
	for {
		t.take()
		select {
		case t = <-c.turns:
		case <-c.end:
			return
		}
	}
}

func (t turn) take() {
	defer func() { t.done <- recover() }()
	t.do()
}

package store

import "time"

// clock tells the time twice: as people see it, and for leases, where a step of
// the wall clock must not end or prolong anything.
type clock struct {
	wall  func() time.Time
	lease func() int64 // microseconds
}

// newClock makes a clock of the given one, or for nil of the machine's. Within
// one process the monotonic clock since the start serves for leases: a lease of
// an earlier process is taken back when the node starts.
func newClock(now func() time.Time) clock {
	if now != nil {
		return clock{wall: now, lease: func() int64 { return now().UnixMicro() }}
	}
	start := time.Now()
	return clock{wall: time.Now, lease: func() int64 { return start.Add(time.Since(start)).UnixMicro() }}
}

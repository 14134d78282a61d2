package store

import (
	"sync/atomic"
	"time"
)

// clock tells the time twice: as people see it, and for leases, where a step of
// the wall clock must not end or prolong anything.
type clock struct {
	wall  func() time.Time
	lease func() int64    // microseconds
	set   func(now int64) // takes over the database's clock; nil: this one holds
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

// newSharedClock makes a clock that follows the one of a database that several
// machines share. Between two readings it goes on by the monotonic clock.
func newSharedClock() clock {
	start := time.Now()
	var shift atomic.Int64 // of the database's clock against the start
	shift.Store(start.UnixMicro())
	lease := func() int64 { return shift.Load() + time.Since(start).Microseconds() }
	return clock{
		wall:  func() time.Time { return time.UnixMicro(lease()) },
		lease: lease,
		set:   func(now int64) { shift.Store(now - time.Since(start).Microseconds()) },
	}
}

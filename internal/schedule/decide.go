package schedule

import (
	"encoding/binary"
	"hash/fnv"
	"time"
)

// Grace is how late a run may begin and still count as on time: a busy store, a
// restart of the daemon.
const Grace = time.Minute

// How missed runs are counted: one by one, and after a long time only those of
// the last week, which is all that a catch-up can want.
const (
	maxCounted  = 10_000
	recentCount = 7 * 24 * time.Hour
)

// Decision is what to do about a schedule whose next run has come due.
type Decision struct {
	Runs   []time.Time // to make, in order
	Missed int         // left out by the catch-up policy; after a long time a lower bound
	Last   time.Time   // the last that is left out
	Next   time.Time   // the run after; zero: none
}

// Decide judges the runs from next on, whose due times have come by now. A run
// that is late by more than Grace was missed: no daemon was there at its time.
func (d Definition) Decide(id string, c *Cron, next, now time.Time) Decision {
	var r Decision
	var late, punctual []time.Time
	for at := next; ; at = c.Next(at) {
		due := d.Due(id, at)
		if at.IsZero() || due.After(now) {
			r.Next = at
			break
		}
		switch {
		case now.Sub(due) <= Grace:
			punctual = append(punctual, at)
		case r.Missed >= maxCounted && now.Sub(at) > recentCount:
			at = now.Add(-recentCount)
		default:
			late = r.drop(append(late, at), MaxCatchUp)
		}
	}
	r.Runs = append(r.drop(late, d.madeUpFor(len(punctual))), punctual...)
	return r
}

// drop leaves out all but the latest runs.
func (r *Decision) drop(late []time.Time, keep int) []time.Time {
	n := max(0, len(late)-keep)
	if n > 0 {
		r.Missed, r.Last = r.Missed+n, late[n-1]
	}
	return late[n:]
}

// madeUpFor returns how many of the missed runs are made if others are on time.
func (d Definition) madeUpFor(punctual int) int {
	switch {
	case d.CatchUp == All:
		return d.CatchUpLimit
	case d.CatchUp == Last && punctual == 0:
		return 1
	}
	return 0
}

// Due returns when a run comes, with its jitter: the same for each look at it,
// on every node.
func (d Definition) Due(id string, run time.Time) time.Time {
	jitter, err := d.ParseJitter()
	if err != nil || jitter <= 0 {
		return run
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(id))
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(run.Unix())))
	return run.Add(time.Duration(mix(h.Sum64()) % uint64(jitter)).Truncate(time.Millisecond))
}

// mix spreads neighbouring values over the whole range (the finalizer of
// SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Upcoming returns the next n runs after t, without jitter.
func (c *Cron) Upcoming(t time.Time, n int) []time.Time {
	runs := make([]time.Time, 0, n)
	for len(runs) < n {
		if t = c.Next(t); t.IsZero() {
			break
		}
		runs = append(runs, t)
	}
	return runs
}

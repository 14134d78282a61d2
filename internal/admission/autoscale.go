package admission

import "time"

// Bounds are the limits of a pool of workers that scales. The zero value is a
// pool of a fixed size.
type Bounds struct{ Min, Max int }

// Scales tells whether there is anything to decide.
func (b Bounds) Scales() bool { return b.Max > 0 }

// Clamp returns the size within the bounds that is nearest to n.
func (b Bounds) Clamp(n int) int { return max(b.Min, min(n, b.Max)) }

// Resource is what a machine can run short of.
type Resource string

// The resources. Ample means that there is enough of all.
const (
	Ample  Resource = ""
	CPU    Resource = "cpu"
	Memory Resource = "memory"
	Disk   Resource = "disk" // free space for outputs
)

// Load is what a pool sees when it looks at itself.
type Load struct {
	Size       int           // workers that it has now, within its bounds
	Busy       int           // workers at work; more than Size while the pool drains
	Backlog    int           // jobs that could start, as far as counted
	OldestWait time.Duration // of those
	Idle       time.Duration // since when more workers than needed have been there
	Short      Resource      // what the machine runs short of
}

// Why a pool has the size that it has.
const (
	Fixed     = "fixed"      // it does not scale
	Steady    = "steady"     // as many as needed
	Growing   = "backlog"    // jobs wait and all workers are busy
	Unneeded  = "idle"       // workers had nothing to do for ShrinkAfter
	ShortCPU  = "cpu"        // jobs wait, but the processors are busy: more would not be faster
	ShortMem  = "memory"     // fewer, until there is memory again
	ShortDisk = "disk"       // fewer, until there is room for outputs again
	AtMax     = "max"        // jobs wait, but max_workers are there
	Blocked   = "not_needed" // jobs wait that a free worker may not start: a limit, a pause
)

// How fast a pool changes: it grows within seconds, and shrinks when it is sure.
const (
	GrowAfter   = time.Second      // of waiting
	HurryAfter  = 10 * time.Second // then it grows to the whole demand at once
	ShrinkAfter = time.Minute      // of having more than needed
)

// Scaling is a decision about a pool.
type Scaling struct {
	Size   int
	Reason string
}

// Scale decides the size of a pool. It doubles while jobs wait and shrinks by a
// quarter for each ShrinkAfter, to no less than what is at work. The same load
// always gets the same answer, and a longer backlog never a smaller one.
func (b Bounds) Scale(l Load) Scaling {
	size := b.Clamp(l.Size)
	hold := func(reason string) Scaling { return Scaling{size, reason} }
	switch l.Short {
	case Memory:
		return Scaling{b.Clamp(min(size, l.Busy) - 1), ShortMem}
	case Disk:
		return Scaling{b.Clamp(min(size, l.Busy) - 1), ShortDisk}
	}
	switch {
	case l.Backlog > 0 && l.Busy < size:
		return b.shrink(l, size, Blocked)
	case l.Backlog > 0 && l.OldestWait < GrowAfter:
		return hold(Steady)
	case l.Backlog > 0 && size >= b.Max:
		return hold(AtMax)
	case l.Backlog > 0 && l.Short == CPU:
		return hold(ShortCPU)
	case l.Backlog > 0:
		demand := l.Busy + l.Backlog
		if l.OldestWait < HurryAfter {
			demand = min(demand, 2*size)
		}
		return Scaling{b.Clamp(max(size+1, demand)), Growing}
	}
	return b.shrink(l, size, Steady)
}

// shrink gives up workers that had nothing to do for long enough.
func (b Bounds) shrink(l Load, size int, otherwise string) Scaling {
	if l.Busy >= size || l.Idle < ShrinkAfter || size <= b.Min {
		return Scaling{size, otherwise}
	}
	return Scaling{b.Clamp(max(l.Busy, size-max(1, size/4))), Unneeded}
}

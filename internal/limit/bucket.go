package limit

import (
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// bursts is how many times a second the bucket can fill: what may pass at once
// after a pause. That is little, so that a slow limit is smooth, and its time is
// long against what a machine needs to wake somebody up.
const bursts = 20

// bucket is one limit. What passes takes a token for each byte; whoever comes
// when there are not enough waits, in the order of coming.
type bucket struct {
	mu      sync.Mutex
	plan    Plan
	others  float64       // part of the plan's rate that other nodes have
	minute  int64         // of the epoch, for which limiter holds
	limiter *rate.Limiter // nil: no limit
	rate    Rate
}

// set changes the plan. Who waits already waits on, for at most some bursts.
func (b *bucket) set(p Plan) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.plan = p
	b.apply(time.Now())
}

// part says which part of the plan's rate is this node's.
func (b *bucket) part(share float64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.others = 1 - share
	b.apply(time.Now())
}

// share returns which part of the plan's rate is this node's, and the whole rate.
func (b *bucket) share() (part float64, whole Rate) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return 1 - b.others, b.plan.At(time.Now())
}

// apply makes the limiter what the plan says.
func (b *bucket) apply(now time.Time) {
	b.minute = now.Unix() / 60
	was := b.rate
	b.rate = b.plan.At(now)
	if b.rate != 0 && b.others != 0 {
		b.rate = max(minRate, Rate(float64(b.rate)*(1-b.others)))
	}
	if b.rate == was {
		return
	}
	size := int(b.rate / bursts) // at least minRate / bursts
	switch {
	case b.rate == 0:
		b.limiter = nil
	case was == 0:
		b.limiter = rate.NewLimiter(rate.Limit(b.rate), size)
	default:
		b.limiter.SetBurstAt(now, size)
		b.limiter.SetLimitAt(now, rate.Limit(b.rate))
	}
}

// look returns the rate that holds now, and the most that it lets pass at once.
func (b *bucket) look() (r Rate, most int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Unix()/60 != b.minute && len(b.plan.Windows) > 0 {
		b.apply(now)
	}
	if b.limiter == nil {
		return 0, math.MaxInt
	}
	return b.rate, b.limiter.Burst()
}

// reserve takes n tokens, at most as many as look said, and tells how long to wait
// for them. The clock is read below the lock: a limiter that is asked about the
// past gives tokens twice.
func (b *bucket) reserve(n int) (r *rate.Reservation, delay time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.limiter == nil {
		return nil, 0
	}
	now := time.Now()
	// The limit may have become smaller since: what is too much for it now is paid
	// for as far as it can be.
	r = b.limiter.ReserveN(now, min(n, b.limiter.Burst()))
	return r, r.DelayFrom(now)
}

// giveBack undoes a reserve; nil is none.
func (b *bucket) giveBack(r *rate.Reservation) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if r != nil {
		r.CancelAt(time.Now())
	}
}

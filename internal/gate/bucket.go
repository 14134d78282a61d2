package gate

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// maxBuckets bounds the memory of a set of buckets, whoever calls: the one that
// was used least recently is forgotten, which is full again when it comes back.
const maxBuckets = 1 << 16

// rate is how many turns there are: each comes back after its share of a minute,
// and at most burst are kept.
type rate struct{ perMinute, burst int }

func (r rate) interval() time.Duration { return time.Minute / time.Duration(r.perMinute) }

// buckets count turns by key, by the generic cell rate algorithm: a bucket is one
// time, that at which it is full again.
type buckets[K comparable] struct {
	mu   sync.Mutex
	full *simplelru.LRU[K, time.Time]
	now  func() time.Time
}

func newBuckets[K comparable](now func() time.Time) *buckets[K] {
	l, err := simplelru.NewLRU[K, time.Time](maxBuckets, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return &buckets[K]{full: l, now: now}
}

// take takes a turn if there is one, and tells how many are left and when the next
// one comes.
func (b *buckets[K]) take(key K, r rate) (left int, next time.Duration, ok bool) {
	return b.count(key, r, 1)
}

// look is take without taking.
func (b *buckets[K]) look(key K, r rate) (left int, next time.Duration, ok bool) {
	return b.count(key, r, 0)
}

// len tells how many keys are remembered.
func (b *buckets[K]) len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.full.Len()
}

func (b *buckets[K]) count(key K, r rate, turns int) (left int, next time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, interval := b.now(), r.interval()
	full, known := b.full.Get(key)
	if !known || full.Before(now) {
		full = now
	}
	whole := time.Duration(r.burst) * interval
	if missing := full.Sub(now); missing+interval > whole {
		return 0, missing + interval - whole, false
	}
	if turns > 0 {
		full = full.Add(interval)
		b.full.Add(key, full)
	}
	missing := full.Sub(now)
	left = int((whole - missing) / interval)
	return left, max(0, missing-time.Duration(r.burst-left-1)*interval), true
}

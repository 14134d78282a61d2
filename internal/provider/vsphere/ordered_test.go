package vsphere

import (
	"context"
	"errors"
	"iter"
	"slices"
	"sync/atomic"
	"testing"
)

func numbers(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func TestOrdered(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	for _, c := range []struct {
		name    string
		failAt  int // job that fails
		breakAt int // result after which the consumer stops
		want    int // results seen
		err     error
	}{
		{name: "all", failAt: -1, breakAt: -1, want: 100},
		{name: "error", failAt: 37, breakAt: -1, want: 37, err: boom},
		{name: "break", failAt: -1, breakAt: 10, want: 11},
		{name: "error behind the break", failAt: 20, breakAt: 10, want: 11},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var made, dropped, inFlight, most atomic.Int64
			do := func(_ context.Context, i int) (int, error) {
				if i == c.failAt {
					return 0, boom
				}
				made.Add(1)
				if n := inFlight.Add(1); n > most.Load() {
					most.Store(n)
				}
				return i, nil
			}
			var seen []int
			var err error
			for i, e := range ordered(t.Context(), 3, 5, numbers(100), do, func(int) { dropped.Add(1) }) {
				if err = e; err != nil {
					break
				}
				inFlight.Add(-1)
				seen = append(seen, i)
				if i == c.breakAt {
					break
				}
			}
			if !errors.Is(err, c.err) || len(seen) != c.want || !slices.IsSorted(seen) {
				t.Errorf("error %v, seen %v", err, seen)
			}
			if made.Load() != int64(len(seen))+dropped.Load() {
				t.Errorf("%d made, %d seen, %d dropped", made.Load(), len(seen), dropped.Load())
			}
			if most.Load() > 5+3+2 {
				t.Errorf("%d results in memory", most.Load())
			}
		})
	}
}

func TestOrderedEndsWithItsContext(t *testing.T) {
	t.Parallel()
	why := errors.New("why")
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	var last error
	for i, err := range ordered(ctx, 2, 2, numbers(1000), func(_ context.Context, i int) (int, error) { return i, nil }, func(int) {}) {
		last = err
		if i == 3 {
			cancel(why)
		}
	}
	if !errors.Is(last, why) {
		t.Errorf("the last error is %v", last)
	}
}

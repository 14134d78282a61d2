package vsphere

import (
	"context"
	"iter"
	"sync"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// slot carries one job through ordered; done is closed when the rest is set.
type slot[J, R any] struct {
	job    J
	result R
	err    error
	done   chan struct{}
}

// ordered runs do for every job on so many workers, and yields the results in
// the order of the jobs. Some window results are in memory at most. The first
// error ends it. When it returns, by an end, an error, ctx or a break, all its
// goroutines have ended, and drop was called for each result that was not
// yielded.
func ordered[J, R any](
	ctx context.Context, workers, window int, jobs iter.Seq[J],
	do func(context.Context, J) (R, error), drop func(R),
) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		inner, cancel := context.WithCancel(ctx)
		queue := make(chan *slot[J, R], window)
		work := make(chan *slot[J, R])
		var running sync.WaitGroup
		running.Go(func() {
			defer close(queue)
			defer close(work)
			dispatch(inner, jobs, queue, work)
		})
		for range workers {
			running.Go(func() {
				for s := range work {
					s.err = fault.Protect(func() (err error) {
						s.result, err = do(inner, s.job)
						return err
					})
					close(s.done)
				}
			})
		}
		defer func() {
			cancel()
			running.Wait()
			for s := range queue {
				if <-s.done; s.err == nil {
					drop(s.result)
				}
			}
		}()
		for s := range queue {
			<-s.done
			if !yield(s.result, s.err) || s.err != nil {
				return
			}
		}
		if ctx.Err() != nil {
			yield(*new(R), context.Cause(ctx))
		}
	}
}

// dispatch puts each job into the queue of results, then into work.
func dispatch[J, R any](ctx context.Context, jobs iter.Seq[J], queue, work chan<- *slot[J, R]) {
	for job := range jobs {
		s := &slot[J, R]{job: job, done: make(chan struct{})}
		select {
		case queue <- s:
		case <-ctx.Done():
			return
		}
		select {
		case work <- s:
		case <-ctx.Done():
			s.err = context.Cause(ctx)
			close(s.done)
			return
		}
	}
}

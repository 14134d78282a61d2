package main

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	workers     = 64 // of both engines
	flowClients = 4
	flowBatch   = 100
)

// clock collects how long calls took.
type clock struct {
	mu   sync.Mutex
	took []time.Duration
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	c.took = append(c.took, d)
	c.mu.Unlock()
}

func (c *clock) result() result {
	slices.Sort(c.took)
	n := len(c.took)
	if n == 0 {
		return result{}
	}
	ms := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
	return result{P50: ms(c.took[n/2]), P99: ms(c.took[n*99/100]), Max: ms(c.took[n-1])}
}

// measureSubmit lets some clients submit for a while, each as soon as its last
// submit was answered.
func measureSubmit(ctx context.Context, e engine, o order) (result, error) {
	var c clock
	begun := time.Now()
	end := begun.Add(time.Duration(o.Seconds * float64(time.Second)))
	err := together(o.Clients, func(int) error {
		for time.Now().Before(end) {
			before := time.Now()
			if err := e.submit(ctx, o.Batch, true); err != nil {
				return err
			}
			c.add(time.Since(before))
		}
		return nil
	})
	took := time.Since(begun)
	r := c.result()
	r.Rate = float64(len(c.took)*o.Batch) / took.Seconds()
	return r, err
}

// together runs fn n times at once.
func together(n int, fn func(i int) error) error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { errs[i] = fn(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// measureLatency submits one job after the other to an idle engine: from the
// call of submit to the start of the job.
func measureLatency(ctx context.Context, e engine, o order) (r result, err error) {
	var c clock
	started, ended := make(chan time.Time, 1), make(chan struct{}, 1)
	stop, err := e.work(ctx, workers, func() { started <- time.Now() }, func() { ended <- struct{}{} })
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	for range o.N {
		before := time.Now()
		if err := e.submit(ctx, 1, false); err != nil {
			return r, err
		}
		at, err := receive(ctx, started)
		if err != nil {
			return r, err
		}
		c.add(at.Sub(before))
		if _, err := receive(ctx, ended); err != nil {
			return r, err
		}
	}
	return c.result(), nil
}

// patience is how long a job may take that has nothing to do.
const patience = 2 * time.Minute

func receive[T any](ctx context.Context, ch <-chan T) (v T, err error) {
	select {
	case v = <-ch:
		return v, nil
	case <-ctx.Done():
		return v, ctx.Err()
	case <-time.After(patience):
		return v, errors.New("a job was not run")
	}
}

// measureFlow submits n jobs in batches while the workers run, and waits until
// the last one is completed.
func measureFlow(ctx context.Context, e engine, o order) (r result, err error) {
	var left atomic.Int64
	done := make(chan struct{})
	left.Store(int64(o.N))
	stop, err := e.work(ctx, workers, func() {}, func() {
		if left.Add(-1) == 0 {
			close(done)
		}
	})
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, stop()) }()
	begun := time.Now()
	err = together(flowClients, func(int) error {
		for range o.N / flowClients / flowBatch {
			if err := e.submit(ctx, flowBatch, false); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	if _, err := receive(ctx, done); err != nil {
		return r, err
	}
	return result{Rate: float64(o.N) / time.Since(begun).Seconds()}, nil
}

// measureClaim claims one job, n times.
func measureClaim(ctx context.Context, e engine, o order) (result, error) {
	q, ok := e.(claimer)
	if !ok {
		return result{}, nil
	}
	if err := q.park(ctx, false); err != nil {
		return result{}, err
	}
	var c clock
	for range o.N {
		before := time.Now()
		putBack, err := q.claim(ctx)
		if err != nil {
			return result{}, err
		}
		c.add(time.Since(before))
		if err := putBack(); err != nil {
			return result{}, err
		}
	}
	return c.result(), q.park(ctx, true)
}

// measureList reads n pages.
func measureList(ctx context.Context, e engine, o order) (result, error) {
	var c clock
	for range o.N {
		before := time.Now()
		if err := e.list(ctx); err != nil {
			return result{}, err
		}
		c.add(time.Since(before))
	}
	return c.result(), nil
}

// measureSustained lets clients submit one job after the other, with the workers
// at work on them: how long each waits for its answer, and how many jobs are
// completed.
func measureSustained(ctx context.Context, e engine, o order) (r result, err error) {
	var c clock
	var done atomic.Int64
	stop, err := e.work(ctx, workers, func() {}, func() { done.Add(1) })
	if err != nil {
		return r, err
	}
	begun := time.Now()
	end := begun.Add(time.Duration(o.Seconds * float64(time.Second)))
	err = together(o.Clients, func(int) error {
		for time.Now().Before(end) {
			before := time.Now()
			if err := e.submit(ctx, 1, false); err != nil {
				return err
			}
			c.add(time.Since(before))
		}
		return nil
	})
	took := time.Since(begun)
	r = c.result()
	r.Rate = float64(done.Load()) / took.Seconds()
	return r, errors.Join(err, stop())
}

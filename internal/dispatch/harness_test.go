package dispatch_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bench is a dispatcher on a real store in virtual time.
type bench struct {
	*testing.T
	store  *store.Store
	queue  *faultyQueue
	runner *runner
	scope  tenant.Scope
	opts   dispatch.Options
	made   int
	start  time.Time
}

// inBench runs a test in a bubble of virtual time.
func inBench(t *testing.T, test func(b *bench)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		s, err := store.Open(t.Context(), store.Options{Dir: dir, Synchronous: store.Off})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		}()
		scope, err := tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...).Scope(tenant.JobSubmit)
		if err != nil {
			t.Fatal(err)
		}
		test(&bench{
			T: t, store: s, queue: &faultyQueue{Store: s}, scope: scope, start: time.Now(),
			runner: &runner{}, opts: dispatch.Options{Node: "a", Workers: 1, Rand: func() float64 { return 0.5 }},
		})
	})
}

// faultyQueue is the store with faults that a test switches on.
type faultyQueue struct {
	*store.Store
	mu    sync.Mutex
	renew error // what Renew answers
	apply int   // how many Apply fail
	save  int   // how many SaveToken fail
	deaf  bool  // the feed wakes nobody
}

func (q *faultyQueue) set(fn func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	fn()
}

func (q *faultyQueue) Renew(ctx context.Context, l dispatch.Lease, d time.Duration, p *job.Progress) (bool, error) {
	q.mu.Lock()
	err := q.renew
	q.mu.Unlock()
	if err != nil {
		return false, err
	}
	return q.Store.Renew(ctx, l, d, p)
}

func (q *faultyQueue) Apply(ctx context.Context, l dispatch.Lease, c job.Change) (job.Job, error) {
	q.mu.Lock()
	q.apply--
	fails := q.apply >= 0
	q.mu.Unlock()
	if fails {
		return job.Job{}, errDown
	}
	return q.Store.Apply(ctx, l, c)
}

func (q *faultyQueue) SaveToken(ctx context.Context, l dispatch.Lease, token []byte) error {
	q.mu.Lock()
	q.save--
	fails := q.save >= 0
	q.mu.Unlock()
	if fails {
		return errDown
	}
	return q.Store.SaveToken(ctx, l, token)
}

func (q *faultyQueue) Watch(topic event.Topic) (<-chan struct{}, func()) {
	if q.deaf {
		return nil, func() {}
	}
	return q.Store.Watch(topic)
}

var (
	errDown = fault.New(fault.Unavailable, "HX-TEST-001", "down", "wait")
	errBad  = fault.New(fault.Corrupt, "HX-TEST-002", "bad", "give up")
)

// runner does what the test says.
type runner struct {
	mu       sync.Mutex
	run      func(ctx context.Context, t dispatch.Task) (job.Outcome, error)
	cleanup  func(ctx context.Context, t dispatch.Task) error
	runs     []string // job ids, in the order of their starts
	cleanups []string
	now, max int // how many run
}

func (r *runner) Run(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
	r.mu.Lock()
	r.runs = append(r.runs, t.Job.ID)
	r.now++
	r.max = max(r.max, r.now)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.now--
		r.mu.Unlock()
	}()
	return r.run(ctx, t)
}

func (r *runner) Cleanup(ctx context.Context, t dispatch.Task) error {
	r.mu.Lock()
	r.cleanups = append(r.cleanups, t.Job.ID)
	r.mu.Unlock()
	if r.cleanup == nil {
		return nil
	}
	return r.cleanup(ctx, t)
}

// untilStopped is a run that ends when it is told to.
func untilStopped(ctx context.Context, _ dispatch.Task) (job.Outcome, error) {
	<-ctx.Done()
	return job.Outcome{}, context.Cause(ctx)
}

func (b *bench) submit(edit ...func(*job.Spec)) string {
	b.Helper()
	spec := job.Spec{VMPath: "/DC/vm/web-01"}
	for _, e := range edit {
		e(&spec)
	}
	j := job.New(fmt.Sprintf("job-%d", b.made), string(tenant.Default), spec.WithDefaults(), time.Now())
	b.made++
	if err := b.store.Update(b.Context(), b.scope, func(tx service.Tx) error { return tx.Insert(&j) }); err != nil {
		b.Fatal(err)
	}
	return j.ID
}

func (b *bench) cancel(id string) {
	b.Helper()
	err := b.store.Update(b.Context(), b.scope, func(tx service.Tx) error {
		_, _, err := tx.Cancel(id, "why")
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) job(id string) job.Job {
	b.Helper()
	j, err := b.store.Reader(b.scope).Job(b.Context(), id)
	if err != nil {
		b.Fatal(err)
	}
	return j
}

func (b *bench) want(id string, s job.State) job.Job {
	b.Helper()
	j := b.job(id)
	if j.State != s {
		b.Fatalf("after %v %s is %s, want %s (error %+v)", time.Since(b.start), id, j.State, s, j.Error)
	}
	return j
}

// begin starts a dispatcher; stop shuts it down and waits for it.
func (b *bench) begin() (d *dispatch.Dispatcher, stop func()) {
	d = dispatch.New(b.queue, b.queue, b.runner, b.opts)
	ctx, cancel := context.WithCancel(b.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	synctest.Wait()
	return d, func() {
		cancel()
		if err := <-done; err != nil {
			b.Error(err)
		}
	}
}

// pass lets virtual time pass, and everything settle.
func (b *bench) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

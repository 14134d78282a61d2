package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// pair is a primary and its standby.
type pair struct {
	*testing.T
	primary, standby *pgtest.Server
	url              string // of a database on both
	alone            string // on the primary only
}

func newPair(t *testing.T, sync bool) *pair {
	t.Helper()
	p := &pair{T: t}
	var err error
	if p.primary, err = pgtest.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stopped(p.primary) })
	p.alone = p.primary.URL(t)
	if p.standby, err = p.primary.Standby(t.Context(), sync); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.stopped(p.standby) })
	p.url = pgtest.Hosts(t, p.alone, p.primary, p.standby)
	return p
}

func (p *pair) stopped(s *pgtest.Server) {
	if err := s.Stop(); err != nil {
		p.Error(err)
	}
}

func (p *pair) must(err error) {
	p.Helper()
	if err != nil {
		p.Fatal(fault.Detail(err))
	}
}

// submitOnce submits under a key, or finds what was submitted under it.
func submitOnce(ctx context.Context, s *store.Store, scope tenant.Scope, key string) (id string, err error) {
	err = s.Update(ctx, scope, func(tx service.Tx) error {
		_, answer, found, err := tx.Replay(key)
		if id = string(answer); err != nil || found {
			return err
		}
		j := job.New("job-"+key, string(tenant.Default), job.Spec{VMPath: "/vm"}.WithDefaults(), time0)
		id = j.ID
		return errors.Join(tx.Insert(&j), tx.Remember(key, []byte("d"), []byte(id)))
	})
	return id, err
}

// storm is what two nodes do until they are told to stop.
type storm struct {
	*testing.T
	stop      chan struct{}
	wg        sync.WaitGroup
	accepted  [2]atomic.Int64
	completed atomic.Int64

	mu   sync.Mutex
	ids  []string       // accepted
	ends map[string]int // completions that were acknowledged
}

// submits submits job after job. One that got no answer is repeated under its key.
func (s *storm) submits(node int, on *store.Store, scope tenant.Scope) {
	for i := 0; ; i++ {
		for done := false; !done; {
			select {
			case <-s.stop:
				return
			default:
			}
			id, err := submitOnce(s.Context(), on, scope, fmt.Sprintf("%d-%d", node, i))
			if err != nil && !fault.Is(err, fault.Unavailable) {
				s.Error(fault.Detail(err))
				return
			}
			if done = err == nil; done {
				s.accepted[node].Add(1)
				s.mu.Lock()
				s.ids = append(s.ids, id)
				s.mu.Unlock()
			}
		}
	}
}

// runs claims jobs and completes them.
func (s *storm) runs(node int, on *store.Store) {
	for {
		select {
		case <-s.stop:
			return
		default:
		}
		leases, err := on.Claim(s.Context(), fmt.Sprint("node", node), time.Minute, 3)
		if err != nil && !fault.Is(err, fault.Unavailable) {
			s.Error(fault.Detail(err))
			return
		}
		for _, l := range leases {
			s.completes(on, l)
		}
	}
}

// completes ends a job, however often it has to say so.
func (s *storm) completes(on *store.Store, l dispatch.Lease) {
	for {
		_, err := on.Apply(s.Context(), l, job.CompleteWith(l.Job.Node, job.Outcome{}))
		switch {
		case err == nil:
			s.completed.Add(1)
			s.mu.Lock()
			s.ends[l.Job.ID]++
			s.mu.Unlock()
			return
		case fault.Is(err, fault.Conflict): // the commit that got no answer was one
			return
		case !fault.Is(err, fault.Unavailable):
			s.Error(fault.Detail(err))
			return
		}
	}
}

// TestFailover: two nodes submit, claim and complete while the primary is killed
// and its standby takes over. What was accepted is there, what was completed was
// completed once, and both go on by themselves; they hear of each other again.
func TestFailover(t *testing.T) {
	t.Parallel()
	p := newPair(t, true)
	nodes := []*store.Store{postgres(t, p.url, store.Options{}), postgres(t, p.url, store.Options{})}
	wake, unwatch := nodes[1].Watch(event.Queue)
	defer unwatch()
	s := &storm{T: t, stop: make(chan struct{}), ends: map[string]int{}}
	scope := submitter(t)
	for i, n := range nodes {
		s.wg.Go(func() { s.submits(i, n, scope) })
		s.wg.Go(func() { s.runs(i, n) })
	}
	const some = 40
	grown := func(what string) {
		t.Helper()
		a, b, c := s.accepted[0].Load(), s.accepted[1].Load(), s.completed.Load()
		until(t, what, func() bool {
			return s.accepted[0].Load() >= a+some && s.accepted[1].Load() >= b+some && s.completed.Load() >= c+some
		})
	}
	grown("work before the fail-over")
	p.must(p.primary.Down(syscall.SIGKILL))
	for i, n := range nodes {
		until(t, "the outage to be noticed", func() bool {
			return fault.Is(n.Writable(t.Context(), 0), fault.Unavailable)
		})
		select {
		case err := <-n.Fatal():
			t.Fatalf("fatal for node %d: %v", i, err)
		default:
		}
	}
	p.must(p.standby.Promote(t.Context()))
	grown("work after the fail-over")
	select {
	case <-wake: // of before
	default:
	}
	until(t, "the nodes to hear of each other", func() bool {
		select {
		case <-wake:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	})
	close(s.stop)
	s.wg.Wait()
	p.judge(s, nodes[0])
}

// judge looks into the database that took over.
func (p *pair) judge(s *storm, node *store.Store) {
	p.Helper()
	p.Logf("%d accepted, %d completed", len(s.ids), s.completed.Load())
	for _, id := range s.ids {
		if _, err := node.Reader(submitter(p)).Job(p.Context(), id); err != nil {
			p.Errorf("%s was accepted: %v", id, fault.Detail(err))
		}
	}
	conn, err := pgx.Connect(p.Context(), p.url)
	p.must(err)
	defer func() { p.must(conn.Close(context.WithoutCancel(p.Context()))) }()
	rows, err := conn.Query(p.Context(), `SELECT id, state, (SELECT COUNT(*) FROM events e WHERE e.job_id = j.id AND e.kind = 'job.completed') FROM jobs j`)
	p.must(err)
	for rows.Next() {
		var id, state string
		var ends int
		p.must(rows.Scan(&id, &state, &ends))
		acknowledged := s.ends[id]
		if ends > 1 || acknowledged > ends || (state == "completed") != (ends == 1) {
			p.Errorf("%s is %s, was completed %d times, of which %d were acknowledged", id, state, ends, acknowledged)
		}
		delete(s.ends, id)
	}
	p.must(rows.Err())
	if len(s.ends) > 0 {
		p.Errorf("completed and not there: %v", s.ends)
	}
}

// TestSupersededPrimary: a standby is promoted while the old primary still runs and
// a node still talks to it. That node acknowledges nothing that the new primary
// does not know, not even when somebody cancels its commits, and what it claimed is
// not its own. It goes over to the new primary, and never back.
func TestSupersededPrimary(t *testing.T) {
	t.Parallel()
	p := newPair(t, true)
	a := postgres(t, p.url, store.Options{}) // the old one is the first that it finds
	scope := submitter(t)
	id := mustSubmit(t, a, "before")
	leases, err := a.Claim(t.Context(), "a", time.Minute, 1)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, fault.Detail(err))
	}
	_, err = a.Renew(t.Context(), leases[0], time.Millisecond, nil)
	p.must(err)
	p.must(p.standby.Promote(t.Context()))
	b := postgres(t, pgtest.Hosts(t, p.alone, p.standby), store.Options{})
	until(t, "the lease to run out", func() bool {
		n, err := b.Reap(t.Context())
		p.must(err)
		return n == 1
	})
	taken, err := b.Claim(t.Context(), "b", time.Minute, 1)
	if err != nil || len(taken) != 1 {
		t.Fatal(taken, fault.Detail(err))
	}

	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"a submit", func() error { _, err := submitOnce(t.Context(), a, scope, "split"); return err }},
		{"its repetition", func() error { _, err := submitOnce(t.Context(), a, scope, "split"); return err }},
		{"a claim", func() error { _, err := a.Claim(t.Context(), "a", time.Minute, 1); return err }},
		{"a renewal", func() error { _, err := a.Renew(t.Context(), leases[0], time.Minute, nil); return err }},
		{"an end", func() error {
			_, err := a.Apply(t.Context(), leases[0], job.CompleteWith("a", job.Outcome{}))
			return err
		}},
	} {
		if err := p.cancelled(c.do); !fault.Is(err, fault.Unavailable) || fault.As(err).Code != "HX-STORE-006" {
			t.Errorf("%s was not confirmed by the standby: %v", c.what, fault.Detail(err))
		}
	}

	// The first who connects anew finds the new primary; the others follow.
	p.must(p.primary.Down(syscall.SIGKILL))
	until(t, "the node to reach the new primary", func() bool {
		_, err := submitOnce(t.Context(), a, scope, "split")
		return err == nil
	})
	if _, err := a.Apply(t.Context(), leases[0], job.CompleteWith("a", job.Outcome{})); !fault.Is(err, fault.Conflict) {
		t.Errorf("the old lease ends the job: %v", err)
	}
	p.must(p.primary.Up(t.Context())) // as a primary, first in the URL
	p.must(p.standby.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'hypervisord'`))
	until(t, "the node to be back", func() bool {
		_, err := submitOnce(t.Context(), a, scope, "later")
		return err == nil
	})
	for range 20 { // by all connections
		if j := p.read(a, id); j.Node != "b" {
			t.Fatalf("it reads from the old primary: %s is %s on %q", id, j.State, j.Node)
		}
	}
	for _, key := range []string{"split", "later"} {
		p.read(b, "job-"+key)
	}
	_, err = b.Apply(t.Context(), taken[0], job.CompleteWith("b", job.Outcome{}))
	p.must(err)
}

// read reads a job, over a connection that is not cut.
func (p *pair) read(from *store.Store, id string) (j job.Job) {
	p.Helper()
	until(p, id+" to be read", func() (ok bool) {
		var err error
		if j, err = from.Reader(submitter(p)).Job(p.Context(), id); err != nil && !fault.Is(err, fault.Unavailable) {
			p.Fatal(fault.Detail(err))
		}
		return err == nil
	})
	return j
}

// TestHungPrimary: a primary that hangs without a word, with every connection open,
// keeps nobody waiting for good, be it in the middle of a question.
func TestHungPrimary(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("half a minute of waiting: make test runs this without the race detector")
	}
	p := newPair(t, true)
	s := postgres(t, p.url, store.Options{})
	id := mustSubmit(t, s, "before")
	p.read(s, id)
	p.must(p.primary.Hang(t.Context()))
	reads := make(chan error, 3)
	for range cap(reads) {
		go func() {
			_, err := s.Reader(submitter(t)).Job(t.Context(), id)
			reads <- err
		}()
	}
	if _, err := submitOnce(t.Context(), s, submitter(t), "during"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a submit: %v", fault.Detail(err))
	}
	p.must(p.standby.Promote(t.Context()))
	for range cap(reads) {
		select {
		case err := <-reads:
			if err != nil && !fault.Is(err, fault.Unavailable) {
				t.Errorf("a read: %v", fault.Detail(err))
			}
		case <-time.After(patience):
			t.Fatal("a read still waits")
		}
	}
	until(t, "a submit", func() bool {
		_, err := submitOnce(t.Context(), s, submitter(t), "during")
		return err == nil
	})
	p.read(s, "job-during")
}

// TestAsynchronousStandby: a standby that lags loses what was acknowledged. Where
// that gives two nodes the same epoch of a job, it is still one that has it.
func TestAsynchronousStandby(t *testing.T) {
	t.Parallel()
	p := newPair(t, false)
	a, b := postgres(t, p.url, store.Options{}), postgres(t, p.url, store.Options{})
	mustSubmit(t, a, "before")
	p.must(p.standby.Lag(t.Context()))
	lost := mustSubmit(t, a, "lost")
	claim := func(s *store.Store, node string) (leases []dispatch.Lease) {
		t.Helper()
		until(t, node+" to claim", func() bool {
			var err error
			leases, err = s.Claim(t.Context(), node, time.Minute, 1)
			if err != nil && !fault.Is(err, fault.Unavailable) {
				t.Fatal(fault.Detail(err))
			}
			return len(leases) > 0
		})
		return leases
	}
	old := claim(a, "a")
	p.must(p.primary.Down(syscall.SIGKILL))
	p.must(p.standby.Promote(t.Context()))
	taken := claim(b, "b")
	if old[0].Job.ID != taken[0].Job.ID || old[0].Job.Epoch != taken[0].Job.Epoch {
		t.Fatalf("a has %s in epoch %d, b has %s in epoch %d: the test shows nothing", old[0].Job.ID, old[0].Job.Epoch, taken[0].Job.ID, taken[0].Job.Epoch)
	}
	for what, do := range map[string]func() error{
		"renews":       func() error { _, err := a.Renew(t.Context(), old[0], time.Minute, nil); return err },
		"saves":        func() error { return a.SaveToken(t.Context(), old[0], []byte("of a")) },
		"ends the job": func() error { _, err := a.Apply(t.Context(), old[0], job.CompleteWith("a", job.Outcome{})); return err },
	} {
		var err error
		until(t, "an answer", func() bool { err = do(); return !fault.Is(err, fault.Unavailable) })
		if !fault.Is(err, fault.Conflict) {
			t.Errorf("the lease that was lost %s: %v", what, err)
		}
	}
	_, err := b.Apply(t.Context(), taken[0], job.CompleteWith("b", job.Outcome{}))
	p.must(err)
	if _, err := b.Reader(submitter(t)).Job(t.Context(), lost); !fault.Is(err, fault.NotFound) {
		t.Errorf("it was not lost: %v", err)
	}
}

// cancelled does something that commits at the old primary, and cancels the wait
// for the standby until it has an answer.
func (p *pair) cancelled(do func() error) error {
	done := make(chan error, 1)
	go func() { done <- do() }()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			p.must(p.primary.Exec(p.Context(), `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`))
		}
	}
}

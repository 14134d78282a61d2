package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// patience is how long anything may take on a busy machine.
const patience = time.Minute

func submitter(t testing.TB) tenant.Scope {
	t.Helper()
	scope, err := tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		t.Fatal(err)
	}
	return scope
}

func mustSubmit(t testing.TB, s *store.Store, key string) string {
	t.Helper()
	id, _, err := submit(t.Context(), s, key)
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
	return id
}

// until asks again and again until cond holds.
func until(t testing.TB, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	end := time.After(patience)
	for !cond() {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("still waiting: %s", what)
		}
	}
}

// execute runs a statement behind the stores' back.
func execute(t testing.TB, dsn, statement string) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNodesClaimOnce: nodes that claim at the same time share the jobs; none gets
// what another has.
func TestNodesClaimOnce(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	nodes := []*store.Store{postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})}
	const jobs = 90
	for i := range jobs {
		mustSubmit(t, nodes[i%len(nodes)], fmt.Sprint(i))
	}
	var mu sync.Mutex
	got := map[string]int{}
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			for {
				leases, err := n.Claim(t.Context(), fmt.Sprint("node", i), time.Minute, 3)
				if err != nil {
					t.Error(fault.Detail(err))
					return
				}
				if len(leases) == 0 {
					return
				}
				mu.Lock()
				for _, l := range leases {
					got[l.Job.ID]++
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for id, n := range got {
		if n != 1 {
			t.Errorf("%s was claimed %d times", id, n)
		}
	}
	// A node skips what another one is just looking at, so a few may be left over.
	for left := true; left; {
		leases, err := nodes[0].Claim(t.Context(), "last", time.Minute, jobs)
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range leases {
			got[l.Job.ID]++
		}
		left = len(leases) > 0
	}
	if len(got) != jobs {
		t.Errorf("%d of %d jobs were claimed", len(got), jobs)
	}
}

// TestLeaseByTheDatabasesClock: the node's own clock plays no part.
func TestLeaseByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	a, b := postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})
	id := mustSubmit(t, a, "1")
	leases, err := a.Claim(t.Context(), "a", 30*time.Second, 1)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var left float64
	err = db.QueryRowContext(t.Context(), `SELECT lease_until / 1e6 - EXTRACT(EPOCH FROM clock_timestamp()) FROM jobs WHERE id = $1`, id).Scan(&left)
	if err != nil || left > 30 || left < -300 {
		t.Errorf("%v seconds are left of a lease of 30, %v", left, err)
	}
	if _, err := a.Renew(t.Context(), leases[0], time.Millisecond, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the lease to run out", func() bool {
		n, err := b.Reap(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return n == 1
	})
	if _, err := a.Renew(t.Context(), leases[0], time.Minute, nil); !fault.Is(err, fault.Conflict) {
		t.Errorf("the old lease renews: %v", err)
	}
}

// TestNodesWakeEachOther: what one node commits wakes the watchers of the other,
// also after the connection that brings the news was cut.
func TestNodesWakeEachOther(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	a, b := postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})
	wake, stop := b.Watch(event.Queue)
	defer stop()
	made := 0
	heard := func() bool { // the listener may not be there yet
		made++
		mustSubmit(t, a, fmt.Sprint(made))
		select {
		case <-wake:
			return true
		case <-time.After(50 * time.Millisecond):
			return false
		}
	}
	until(t, "a submit to be heard of", heard)
	execute(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'LISTEN%'`)
	until(t, "a submit to be heard of again", heard)
	until(t, "a submit to be heard of again and again", heard)
}

// TestCutConnections: connections that the server cut cost nothing.
func TestCutConnections(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	s := postgres(t, dsn, store.Options{})
	for i := range 5 {
		id := mustSubmit(t, s, fmt.Sprint(i))
		execute(t, dsn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		until(t, "the job to be read", func() bool {
			_, err := s.Reader(submitter(t)).Job(t.Context(), id)
			if err != nil && !fault.Is(err, fault.Unavailable) {
				t.Fatal(fault.Detail(err))
			}
			return err == nil
		})
	}
}

// TestServerDown: while the server is down everything is Unavailable, nothing is
// fatal, and it goes on by itself.
func TestServerDown(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), "fsync=on")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := server.Stop(); err != nil {
			t.Error(err)
		}
	}()
	s := postgres(t, server.URL(t), store.Options{})
	id := mustSubmit(t, s, "before")
	for round, how := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT} {
		if err := server.Down(how); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if _, _, err := submit(t.Context(), s, "down"); !fault.Is(err, fault.Unavailable) {
				t.Fatalf("a submit without a server: %v", fault.Detail(err))
			}
		}
		if _, err := s.Reader(submitter(t)).Job(t.Context(), id); !fault.Is(err, fault.Unavailable) {
			t.Fatalf("a read without a server: %v", fault.Detail(err))
		}
		select {
		case err := <-s.Fatal():
			t.Fatalf("fatal: %v", err)
		default:
		}
		if err := server.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		until(t, "a submit", func() bool {
			_, _, err := submit(t.Context(), s, fmt.Sprint("after", round))
			return err == nil
		})
		if _, err := s.Reader(submitter(t)).Job(t.Context(), id); err != nil {
			t.Fatalf("what was acknowledged is lost: %v", fault.Detail(err))
		}
	}
}

// TestLostCommit: when the answer to a commit is lost, the error says that the
// outcome is unknown, and the update is not run again.
func TestLostCommit(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	through := newCutter(t, dsn)
	s := postgres(t, through.url, store.Options{})
	through.cutAtCommit()
	var runs int
	j := job.New("job-1", string(tenant.Default), job.Spec{VMPath: "/vm"}.WithDefaults(), time0)
	err := s.Update(t.Context(), submitter(t), func(tx service.Tx) error {
		runs++
		return tx.Insert(&j)
	})
	if !fault.Is(err, fault.Unavailable) || fault.As(err).Code != "HX-STORE-006" {
		t.Errorf("the error is %v", fault.Detail(err))
	}
	if runs != 1 {
		t.Errorf("the update ran %d times", runs)
	}
	if _, err := s.Reader(submitter(t)).Job(t.Context(), "job-1"); err != nil {
		t.Errorf("the commit got through and the job is not there: %v", fault.Detail(err))
	}
	mustSubmit(t, s, "afterwards")
}

// TestDeadlock: two nodes that wait for each other both get through.
func TestDeadlock(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	a, b := postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})
	one, two := mustSubmit(t, a, "1"), mustSubmit(t, a, "2")
	var met sync.WaitGroup
	met.Add(2)
	cancel := func(s *store.Store, first, second string) error {
		var once sync.Once
		return s.Update(t.Context(), submitter(t), func(tx service.Tx) error {
			_, _, err := tx.Cancel(first, "why")
			once.Do(func() { // a second run does not wait
				met.Done()
				met.Wait()
			})
			if err != nil {
				return err
			}
			_, _, err = tx.Cancel(second, "why")
			return err
		})
	}
	errs := make(chan error, 2)
	go func() { errs <- cancel(a, one, two) }()
	go func() { errs <- cancel(b, two, one) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(fault.Detail(err))
		}
	}
	for _, id := range []string{one, two} {
		if j, err := a.Reader(submitter(t)).Job(t.Context(), id); err != nil || j.State != job.Cancelled {
			t.Errorf("%s is %s, %v", id, j.State, err)
		}
	}
}

// TestSameKeyOnTwoNodes: twins of a request that arrive at different nodes at the
// same moment make one job.
func TestSameKeyOnTwoNodes(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	nodes := []*store.Store{postgres(t, dsn, store.Options{}), postgres(t, dsn, store.Options{})}
	for round := range 10 {
		key := fmt.Sprint("key", round)
		ids := make(chan string, 2)
		var looked sync.WaitGroup
		looked.Add(2)
		for i, s := range nodes {
			go func() {
				var id string
				var once sync.Once
				err := s.Update(t.Context(), submitter(t), func(tx service.Tx) error {
					_, answer, found, err := tx.Replay(key)
					once.Do(func() { // both have found nothing
						looked.Done()
						looked.Wait()
					})
					if err != nil || found {
						id = string(answer)
						return err
					}
					j := job.New(fmt.Sprintf("job-%d-%d", round, i), string(tenant.Default), job.Spec{VMPath: "/vm"}.WithDefaults(), time0)
					id = j.ID
					return errors.Join(tx.Insert(&j), tx.Remember(key, []byte("d"), []byte(j.ID)))
				})
				if err != nil {
					t.Error(fault.Detail(err))
				}
				ids <- id
			}()
		}
		if a, b := <-ids, <-ids; a != b {
			t.Errorf("the twins got %q and %q", a, b)
		}
	}
	if n, err := nodes[0].Reader(submitter(t)).Count(t.Context(), service.Query{}, 100); err != nil || n != 10 {
		t.Errorf("%d jobs, %v", n, err)
	}
}

// TestNodesMigrateTogether: nodes that start at the same moment on an empty
// database all find the schema.
func TestNodesMigrateTogether(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s, err := store.Open(context.WithoutCancel(t.Context()), store.Options{Dir: t.TempDir(), Postgres: store.PostgresOptions{URL: secret.New(dsn)}})
			if err != nil {
				t.Error(fault.Detail(err))
				return
			}
			mustSubmit(t, s, fmt.Sprint(i))
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestPasswordsStayHidden: no error shows the password of the URL.
func TestPasswordsStayHidden(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		url  string
		kind fault.Kind
	}{
		"no URL":        {"hunter2", fault.Invalid},
		"another one":   {"mysql://u:hunter2@h/db", fault.Invalid},
		"bad port":      {"postgres://u:hunter2@h:port/db", fault.Invalid},
		"bad option":    {"postgres://u:hunter2@127.0.0.1/db?sslmode=maybe", fault.Invalid},
		"nobody there":  {"postgres://u:hunter2@127.0.0.1:1/db", fault.Unavailable},
		"a name for no": {"postgres://u:hunter2@host.invalid/db", fault.Unavailable},
	} {
		_, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Postgres: store.PostgresOptions{URL: secret.New(c.url)}})
		if !fault.Is(err, c.kind) || strings.Contains(fault.Detail(err)+err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, fault.Detail(err))
		}
	}
}

// cutter stands between a store and its server, and cuts one connection between
// a commit and the answer to it.
type cutter struct {
	url  string
	mu   sync.Mutex
	arms bool
}

func newCutter(t *testing.T, dsn string) *cutter {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &cutter{}
	var wg sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	server := u.Host
	u.Host = l.Addr().String()
	c.url = u.String()
	wg.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", server)
			if err != nil {
				t.Error(err)
				_ = in.Close()
				return
			}
			wg.Go(func() { c.pass(in, out) })
		}
	})
	return c
}

func (c *cutter) cutAtCommit() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.arms = true
}

// take tells once that the time to cut has come.
func (c *cutter) take() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.arms
	c.arms = false
	return was
}

// pass carries requests and answers by turns, as the protocol has it. The text of
// COMMIT goes over when the statement is prepared; the next request runs it.
func (c *cutter) pass(in, out net.Conn) {
	var ends sync.WaitGroup
	var mu sync.Mutex
	cut := false
	ends.Go(func() {
		defer in.Close()
		buf := make([]byte, 1<<16)
		for {
			n, err := out.Read(buf)
			mu.Lock()
			stop := cut
			mu.Unlock()
			if err != nil || stop {
				return
			}
			if _, err := in.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer ends.Wait()
	defer out.Close()
	buf, prepared := make([]byte, 1<<16), false
	for {
		n, err := in.Read(buf)
		if err != nil {
			return
		}
		if prepared && c.take() {
			mu.Lock()
			cut = true
			mu.Unlock()
		}
		prepared = prepared || strings.Contains(string(buf[:n]), "COMMIT\x00")
		if _, err := out.Write(buf[:n]); err != nil {
			return
		}
	}
}

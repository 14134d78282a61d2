package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// onBoth runs a test on both databases.
func onBoth(t *testing.T, test func(t *testing.T, s *Store, largest func() int)) {
	t.Helper()
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			var mu sync.Mutex
			most := 0
			o := Options{Dir: t.TempDir(), Synchronous: Off, Committed: func(updates int, _ time.Duration, _ error) {
				mu.Lock()
				most = max(most, updates)
				mu.Unlock()
			}}
			if database == "postgres" {
				o.Postgres.URL = secret.New(pgtest.Database(t))
			}
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			test(t, s, func() int {
				mu.Lock()
				defer mu.Unlock()
				return most
			})
		})
	}
}

// atOnce makes calls wait in a queue of the writers until all of them are there, so
// that one transaction takes them. It returns their errors.
func atOnce(t *testing.T, s *Store, queue chan *request, calls ...func() error) []error {
	t.Helper()
	takers := 1
	if queue == s.w.requests && len(s.w.twins) > 0 {
		takers = len(s.w.twins) // and one more, which takes endings
	}
	var busy, wg sync.WaitGroup
	one, others := make(chan struct{}), make(chan struct{})
	for i := range takers {
		busy.Add(1)
		wg.Go(func() {
			var once sync.Once
			err := s.w.ask(context.WithoutCancel(t.Context()), queue, &request{fn: func(*tx) error {
				once.Do(busy.Done) // it may run again
				if i == 0 {
					<-one
				} else {
					<-others
				}
				return nil
			}})
			if err != nil {
				t.Error(err)
			}
		})
	}
	busy.Wait()
	errs := make([]error, len(calls))
	var called sync.WaitGroup
	for i, call := range calls {
		called.Go(func() { errs[i] = call() })
		for end := time.Now().Add(time.Minute); len(queue) <= i; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("a call does not come to the queue")
			}
		}
	}
	close(one)
	called.Wait()
	close(others)
	wg.Wait()
	return errs
}

func submitAs(s *Store, id string) func() error {
	return func() error {
		return s.w.update(context.Background(), func(tx *tx) error {
			j := job.New(id, "t", job.Spec{VMPath: "/vm"}.WithDefaults(), time.Now())
			return tx.insert(&j, "tester")
		})
	}
}

// count answers a question for one number.
func count(t *testing.T, s *Store, query string, args ...any) (n int) {
	t.Helper()
	if err := s.read.QueryRowContext(t.Context(), query, args...).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestInsertsOfOneCommit: what several updates insert goes over together; one that
// the database refuses takes nothing of the others with it, and nothing is stored
// twice.
func TestInsertsOfOneCommit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store, largest func() int) {
		errs := atOnce(t, s, s.w.requests,
			submitAs(s, "first"), submitAs(s, "twin"), submitAs(s, "twin"), submitAs(s, "last"))
		if errs[0] != nil || errs[1] != nil || errs[2] == nil || errs[3] != nil {
			t.Errorf("got %v", errs)
		}
		if largest() != 5 {
			t.Errorf("%d updates shared the largest commit", largest())
		}
		for _, id := range []string{"first", "twin", "last"} {
			jobs := count(t, s, `SELECT COUNT(*) FROM jobs WHERE id = $1`, id)
			events := count(t, s, `SELECT COUNT(*) FROM events WHERE job_id = $1`, id)
			if jobs != 1 || events != 1 {
				t.Errorf("%s: %d jobs, %d events", id, jobs, events)
			}
		}
	})
}

// TestEndingsOfOneCommit: leases that end in one transaction: one of them is stale,
// one is asked for twice, and one breaks the state table.
func TestEndingsOfOneCommit(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *Store, largest func() int) {
		for i := range 5 {
			if err := submitAs(s, fmt.Sprint("job-", i))(); err != nil {
				t.Fatal(err)
			}
		}
		leases, err := s.Claim(t.Context(), "a", time.Minute, 5)
		if err != nil || len(leases) != 5 {
			t.Fatal(len(leases), err)
		}
		stale := leases[1]
		if _, err := s.Apply(t.Context(), stale, job.InterruptBy("a", "why")); err != nil {
			t.Fatal(err)
		}
		again, err := s.Claim(t.Context(), "b", time.Minute, 5)
		if err != nil || len(again) != 1 {
			t.Fatal(len(again), err)
		}
		end := func(l dispatch.Lease, c job.Change) func() error {
			return func() error {
				j, err := s.Apply(context.Background(), l, c)
				if err == nil && (j.ID != l.Job.ID || !j.State.Final()) {
					return fmt.Errorf("it is %s %s then", j.ID, j.State)
				}
				return err
			}
		}
		done := job.CompleteWith("a", job.Outcome{})
		errs := atOnce(t, s, s.w.endings,
			end(leases[0], done), end(stale, done), end(leases[2], done), end(leases[2], done),
			end(leases[3], job.SettleBy("a")), end(leases[4], done))
		for i, refused := range []bool{0: false, 1: true, 4: true, 5: false} {
			if i == 2 || i == 3 { // whichever of them came first
				continue
			}
			if !refused && errs[i] != nil || refused && !fault.Is(errs[i], fault.Conflict) {
				t.Errorf("%d: %v", i, errs[i])
			}
		}
		if (errs[2] == nil) == (errs[3] == nil) || !fault.Is(errors.Join(errs[2], errs[3]), fault.Conflict) {
			t.Errorf("the same lease twice: %v, %v", errs[2], errs[3])
		}
		if largest() != 7 {
			t.Errorf("%d updates shared the largest commit", largest())
		}
		if n := count(t, s, `SELECT COUNT(*) FROM jobs WHERE state = 'completed' AND node = 'a'`); n != 3 {
			t.Errorf("%d jobs are completed", n)
		}
		if n := count(t, s, `SELECT COUNT(*) FROM events WHERE kind = 'job.completed'`); n != 3 {
			t.Errorf("%d events of completion", n)
		}
		if n := count(t, s, `SELECT COUNT(*) FROM jobs WHERE id = $1 AND state = 'running' AND node = 'b'`, stale.Job.ID); n != 1 {
			t.Error("a stale lease ended the job of another one")
		}
	})
}

package store

import (
	"context"
	"database/sql"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// maxBatch is how many updates share a commit at most.
	maxBatch = 256
	// checkpointEvery is how many statements may pile up in the write-ahead log
	// before it is moved into the database file.
	checkpointEvery = 2000
)

// writer is the only one who writes. Its goroutine gathers the updates that came
// in while the last commit waited for the disk and commits them together: one
// fsync for many. Each update runs in a savepoint of its own, so that one that
// fails takes nothing of the others with it; all are answered after the commit.
type writer struct {
	base     context.Context //nolint:containedctx // never done: a statement is not interrupted
	conn     *sql.Conn
	stmts    map[string]*sql.Stmt
	clock    clock
	hub      *event.Hub
	fatal    chan error // gets the error after which nothing is written any more
	dead     error
	pending  int // statements since the last checkpoint
	requests chan *request
	done     chan struct{}
	mu       sync.RWMutex // guards closed against sends to requests
	closed   bool
}

// request is an update that waits for its turn.
type request struct {
	fn     func(*tx) error
	state  atomic.Int32 // waiting, then taken by the writer or withdrawn by the caller
	err    error        // of fn
	topics []event.Topic
	answer chan error
}

const (
	waiting = iota
	taken
	withdrawn
)

func newWriter(ctx context.Context, db *sql.DB, c clock, hub *event.Hub) (*writer, error) {
	base := context.WithoutCancel(ctx)
	conn, err := db.Conn(base)
	if err != nil {
		return nil, classify(err)
	}
	w := &writer{
		base: base, conn: conn, stmts: make(map[string]*sql.Stmt), clock: c, hub: hub,
		fatal: make(chan error, 1), requests: make(chan *request, maxBatch), done: make(chan struct{}),
	}
	go w.run()
	return w, nil
}

// update runs fn in a transaction and returns when that is durable. Once fn has
// begun, the end of ctx is ignored.
func (w *writer) update(ctx context.Context, fn func(*tx) error) error {
	r := &request{fn: fn, answer: make(chan error, 1)}
	if err := w.send(ctx, r); err != nil {
		return err
	}
	select {
	case err := <-r.answer:
		return err
	case <-ctx.Done():
		if r.state.CompareAndSwap(waiting, withdrawn) {
			return context.Cause(ctx)
		}
		return <-r.answer
	}
}

func (w *writer) send(ctx context.Context, r *request) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return fault.New(fault.Unavailable, "HX-STORE-004", "the store is closed", "try again when the daemon runs")
	}
	select {
	case w.requests <- r:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// close answers what has been asked and ends the goroutine.
func (w *writer) close() error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.requests)
	}
	w.mu.Unlock()
	<-w.done
	return w.conn.Close()
}

func (w *writer) run() {
	defer close(w.done)
	for first := range w.requests {
		ran, err := w.batch(first)
		for _, r := range ran {
			if err != nil {
				r.err = err
			} else if r.err == nil {
				w.hub.Touch(r.topics...)
			}
			r.answer <- r.err
		}
		if w.pending >= checkpointEvery {
			w.pending = 0
			w.checkpoint()
		}
	}
	for _, s := range w.stmts {
		_ = s.Close() // only memory
	}
}

// batch runs first and what else waits in one transaction. It returns the
// requests that it took and the error that befell them all.
func (w *writer) batch(first *request) (ran []*request, err error) {
	if w.dead == nil {
		err = w.exec("BEGIN IMMEDIATE")
	}
	for r, more := first, true; more; r, more = w.next(len(ran)) {
		if !r.state.CompareAndSwap(waiting, taken) {
			continue
		}
		ran = append(ran, r)
		if w.dead == nil && err == nil {
			err = w.one(r)
		}
	}
	switch {
	case w.dead != nil:
		return ran, w.dead
	case err == nil:
		err = w.exec("COMMIT")
	}
	if err != nil {
		err = w.abort(err)
	}
	return ran, err
}

func (w *writer) next(taken int) (*request, bool) {
	if taken >= maxBatch {
		return nil, false
	}
	select {
	case r, ok := <-w.requests:
		return r, ok
	default:
		return nil, false
	}
}

// one runs a request in its savepoint. Its own error is kept in the request; the
// returned one is that of the database and ends the batch.
func (w *writer) one(r *request) error {
	if err := w.exec("SAVEPOINT update_"); err != nil {
		return err
	}
	t := &tx{w: w, now: w.clock.wall()}
	r.err = protect(r.fn, t)
	r.topics = t.topics
	if r.err != nil {
		if isFatal(r.err) {
			return r.err
		}
		if err := w.exec("ROLLBACK TO update_"); err != nil {
			return fmt.Errorf("%w (after: %w)", err, r.err)
		}
		r.err = classify(r.err)
	}
	return w.exec("RELEASE update_")
}

// protect turns a panic of fn into an error, so that it ends one update and not
// the writer.
func protect(fn func(*tx) error, t *tx) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fault.Wrap(fmt.Errorf("panic: %v\n%s", v, debug.Stack()), fault.Internal, "HX-STORE-005",
				"an update of the store went wrong", "see the daemon's log")
		}
	}()
	return fn(t)
}

// abort ends a transaction that the database did not carry through. Whether a
// failed commit is on the disk is unknown until the next start, so the error is
// Unavailable; after an I/O error nothing is written any more.
func (w *writer) abort(err error) error {
	_ = w.exec("ROLLBACK") // there may be no transaction left
	if isFatal(err) {
		w.die(err)
		return w.dead
	}
	return fault.Wrap(err, fault.Unavailable, "HX-STORE-006", "the change could not be stored: "+fault.As(classify(err)).Msg,
		"ask again with the same idempotency key")
}

func (w *writer) die(err error) {
	w.dead = classify(err)
	w.fatal <- w.dead
}

// checkpoint moves the write-ahead log into the database file, as far as readers
// allow. It is done here and not by SQLite itself, which would hide its errors.
func (w *writer) checkpoint() {
	if w.dead != nil {
		return
	}
	if err := w.exec("PRAGMA wal_checkpoint(PASSIVE)"); isFatal(err) {
		w.die(err)
	}
}

func (w *writer) exec(query string) error {
	s, err := w.stmt(query) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return err
	}
	_, err = s.ExecContext(w.base)
	return err
}

// stmt returns the prepared form of a statement. The program has a fixed number
// of statements, so the cache is bounded.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(w.base, query)
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

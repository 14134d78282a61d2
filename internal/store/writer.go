package store

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// maxBatch is how many updates share a commit at most.
	maxBatch = 256
	// checkpointEvery is how many statements may pile up in the write-ahead log
	// before it is moved into the database file.
	checkpointEvery = 2000
	// maxBatchTime is how long a transaction takes in more updates: none waits
	// much longer than that for its answer.
	maxBatchTime = time.Second
	// maxTries is how often an update is run that others keep undoing.
	maxTries   = 5
	retryPause = 20 * time.Millisecond

	uniqueViolation = "23505" // SQLSTATE
)

// teller tells the other nodes what a commit of the writer touched.
type teller func(w *writer, topics []event.Topic)

// writer is the only one in this process who writes, alone or with twins where
// the database takes changes side by side. Its goroutine gathers the
// updates that came in while the last commit waited for the disk and commits them
// together: one fsync for many. If one fails after it wrote, all of them run
// again, each in a savepoint of its own, so that it takes nothing of the others
// with it. All are answered after the commit. An update may run more than once;
// only its last run counts.
type writer struct {
	base     context.Context //nolint:containedctx // never done: a statement is not interrupted
	ctx      context.Context //nolint:containedctx // of the transaction: base, with the dialect's patience
	d        dialect
	db       *sql.DB
	conn     *sql.Conn // nil: lost
	down     bool      // the last try to connect failed
	stmts    map[string]*sql.Stmt
	clock    clock
	now      time.Time // of the transaction, if the database's clock holds
	kept     buffer    // rows of the transaction that are not inserted yet
	hub      *event.Hub
	tell     teller     // tells the other nodes; nil: there are none
	watch    *watch     // of commits; shared by the twins
	twins    []*writer  // take from the same requests, over connections of their own
	fatal    chan error // gets the error after which nothing is written any more
	dead     error
	pending  int   // statements since the last checkpoint
	changed  int64 // rows, in the transaction
	requests chan *request
	endings  chan *request // of leases; the same as requests where there are no twins
	source   chan *request // which of the two this one takes from
	done     chan struct{}
	mu       sync.RWMutex // guards closed against sends to requests
	closed   bool
}

// request is an update that waits for its turn.
type request struct {
	fn     func(*tx) error
	ending *ending      // that fn carries out; nil: it is another update
	state  atomic.Int32 // waiting, then taken by the writer or withdrawn by the caller
	err    error        // of fn
	clash  bool         // another node made the same key at the same time: look again
	topics []event.Topic
	placed map[string]int // entries that got places in the log, by result
	answer chan error
}

const (
	waiting = iota
	taken
	withdrawn
)

func newWriter(ctx context.Context, d dialect, db *sql.DB, c clock, hub *event.Hub, tell teller, committed CommitHook) (*writer, error) {
	base := context.WithoutCancel(ctx)
	w := &writer{
		base: base, ctx: base, d: d, db: db, stmts: make(map[string]*sql.Stmt), clock: c, hub: hub, tell: tell, watch: &watch{committed: committed},
		fatal: make(chan error, 1), requests: make(chan *request, maxBatch), done: make(chan struct{}),
	}
	w.source, w.endings = w.requests, w.requests
	if err := w.connect(); err != nil {
		return nil, classify(err)
	}
	for range d.writers - 1 {
		w.twins = append(w.twins, &writer{
			base: base, ctx: base, d: d, db: db, stmts: make(map[string]*sql.Stmt), clock: c, hub: hub, tell: tell, watch: w.watch,
			fatal: w.fatal, source: w.requests, done: make(chan struct{}),
		})
	}
	if len(w.twins) > 0 { // one of them alone ends leases: they would wait for each other's rows of usage
		w.endings = make(chan *request, maxBatch)
		w.twins[0].source = w.endings
	}
	for _, t := range append(w.twins, w) {
		go t.run()
	}
	return w, nil
}

// update runs fn in a transaction and returns when that is durable. Once fn has
// begun, the end of ctx is ignored.
func (w *writer) update(ctx context.Context, fn func(*tx) error) error {
	return w.ask(ctx, w.requests, &request{fn: fn})
}

// finish carries out an ending, like update, and together with others that wait.
func (w *writer) finish(ctx context.Context, e *ending) error {
	return w.ask(ctx, w.endings, &request{fn: e.apply, ending: e})
}

func (w *writer) ask(ctx context.Context, to chan<- *request, r *request) error {
	r.answer = make(chan error, 1)
	if err := w.send(ctx, to, r); err != nil {
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

func (w *writer) send(ctx context.Context, to chan<- *request, r *request) error {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if w.closed {
		return fault.New(fault.Unavailable, "HX-STORE-004", "the store is closed", "try again when the daemon runs")
	}
	select {
	case to <- r:
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
		if w.endings != w.requests {
			close(w.endings)
		}
	}
	w.mu.Unlock()
	var errs []error
	for _, t := range append(w.twins, w) {
		<-t.done
		if t.conn == nil {
			continue
		}
		if err := t.conn.Close(); !w.d.server { // which may be gone
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (w *writer) run() {
	defer close(w.done)
	for first := range w.source {
		var touched []event.Topic
		ran, again, err := w.batch(first)
		for _, r := range ran {
			result := err
			if again && !w.down || r.clash {
				result = w.alone(r)
			}
			if result == nil && r.err == nil {
				w.hub.Touch(r.topics...)
				w.watch.place(r.placed)
				touched = append(touched, r.topics...)
			}
			r.answer <- cmp.Or(result, r.err)
		}
		if w.tell != nil && len(touched) > 0 {
			w.tell(w, touched)
		}
		if w.pending >= checkpointEvery {
			w.pending = 0
			w.checkpoint()
		}
	}
	w.forget()
}

// batch runs first and what else waits in one transaction. It returns the
// requests that it took and the error that befell them all; again is set if
// nothing of them happened and they may be run again.
func (w *writer) batch(first *request) (ran []*request, again bool, err error) {
	end := w.limit()
	defer end()
	begun := time.Now()
	if w.dead == nil {
		err = w.begin()
	}
	for r, more := first, true; more; r, more = w.next(len(ran), begun) {
		if !r.state.CompareAndSwap(waiting, taken) {
			continue
		}
		ran = append(ran, r)
		if w.dead == nil && err == nil && r.ending == nil {
			err = w.one(r)
		}
	}
	if w.dead == nil && err == nil {
		err = w.endAll(ran)
	}
	committing := false
	if w.dead == nil && err == nil {
		committing, err = w.commit()
	}
	if w.dead == nil && !committing && len(ran) > 0 && w.isOfOne(err) {
		committing, err = w.apart(ran)
	}
	again, err = w.end(committing, err)
	w.watch.note(len(ran), w.changed, begun, err)
	return ran, again, err
}

// isOfOne tells whether an error that ended a batch is the fault of one request,
// so that the others may go on without it.
func (w *writer) isOfOne(err error) bool {
	return err != nil && !isFatal(err) && !isUndone(err) && !isLost(err) && w.ctx.Err() == nil
}

// apart begins again and runs each request in a savepoint.
func (w *writer) apart(ran []*request) (committing bool, err error) {
	_ = w.exec("ROLLBACK") // there may be no transaction left
	if err := w.begin(); err != nil {
		return false, err
	}
	for _, r := range ran {
		if err := w.guarded(r); err != nil {
			return false, err
		}
	}
	return w.commit()
}

// alone runs one request in a transaction of its own: its locks do not depend on
// what others of its batch hold.
func (w *writer) alone(r *request) error {
	for try := 1; ; try++ {
		raced := r.clash
		r.err, r.topics, r.placed, r.clash = nil, nil, nil, false
		again, err := w.transact(r)
		if raced {
			r.clash = false // the key is still in the way: it is no race
		}
		if !again && !r.clash || try >= maxTries {
			return err
		}
		time.Sleep(rand.N(retryPause)) //nolint:gosec // no secret; so that two that met do not meet again
	}
}

func (w *writer) transact(r *request) (again bool, err error) {
	defer w.limit()()
	begun := time.Now()
	if err = w.begin(); err == nil {
		err = w.guarded(r)
	}
	committing := false
	if err == nil {
		committing, err = w.commit()
	}
	again, err = w.end(committing, err)
	w.watch.note(1, w.changed, begun, err)
	return again, err
}

// limit starts the time that a transaction may take.
func (w *writer) limit() (end func()) {
	if w.d.patience == 0 {
		return func() {}
	}
	var cancel context.CancelFunc
	w.ctx, cancel = context.WithTimeout(w.base, w.d.patience)
	return func() {
		cancel()
		w.ctx = w.base
	}
}

// begin begins a transaction, over a new connection if the last one is lost.
func (w *writer) begin() error {
	w.kept.drop()
	w.changed = 0
	if w.superseded() {
		w.drop()
	}
	first := []statement{{sql: w.d.begin}}
	var now int64
	if w.d.clock != "" && w.clock.set != nil {
		first = append(first, statement{sql: w.d.clock, row: func(scan func(...any) error) error { return scan(&now) }})
	}
	_, err := w.pipe(first...)
	if w.d.server && isLost(err) {
		w.lose()
		if err = w.connect(); err == nil {
			_, err = w.pipe(first...)
		}
	}
	if err != nil || now == 0 {
		return err
	}
	w.clock.set(now)
	w.now = time.UnixMicro(now).UTC()
	return nil
}

// end ends what failed. again is set if nothing of the transaction happened for a
// reason that may be gone the next time.
func (w *writer) end(committing bool, err error) (again bool, _ error) {
	if w.dead != nil {
		return false, w.dead
	}
	if err == nil {
		return false, nil
	}
	again = isUndone(err) || isLost(err) && !committing && !w.down && w.ctx.Err() == nil
	return again, w.abort(err)
}

func (w *writer) next(taken int, begun time.Time) (*request, bool) {
	if taken >= maxBatch || time.Since(begun) > maxBatchTime {
		return nil, false
	}
	select {
	case r, ok := <-w.source:
		return r, ok
	default:
		return nil, false
	}
}

// one runs a request within the batch. Its own error is kept in the request if it
// has written nothing; the returned one ends the batch.
func (w *writer) one(r *request) error {
	t := w.call(r)
	switch {
	case r.err == nil:
		return nil
	case t.wrote || isOfDatabase(r.err):
		return r.err
	}
	r.err = classify(r.err)
	return nil
}

// guarded runs a request in a savepoint. Its own error is kept in the request; the
// returned one is that of the database and ends the batch.
func (w *writer) guarded(r *request) error {
	if err := w.exec("SAVEPOINT update_"); err != nil {
		return err
	}
	used, before := maps.Clone(w.kept.used), w.changed
	w.call(r)
	if r.err == nil {
		r.err = w.flushRows()
	}
	if r.err != nil {
		w.kept, w.changed = buffer{used: used}, before
		if isFatal(r.err) || isUndone(r.err) {
			return r.err
		}
		if err := w.exec("ROLLBACK TO update_"); err != nil {
			return fmt.Errorf("%w (after: %w)", err, r.err)
		}
		r.clash = pgCode(r.err) == uniqueViolation
		r.err = classify(r.err)
	}
	return w.exec("RELEASE update_")
}

// begun makes the view of an update that begins.
func (w *writer) begun() *tx {
	t := &tx{w: w, now: w.now}
	if t.now.IsZero() {
		t.now = w.clock.wall()
	}
	return t
}

// call runs the request's function.
func (w *writer) call(r *request) *tx {
	t := w.begun()
	r.err = protect(r.fn, t)
	r.topics, r.placed = t.topics, t.placed
	return t
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
	if w.d.server && (isLost(err) || w.ctx.Err() != nil) {
		w.lose()
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
	if w.dead != nil || w.d.checkpoint == "" {
		return
	}
	if err := w.exec(w.d.checkpoint); isFatal(err) {
		w.die(err)
	}
}

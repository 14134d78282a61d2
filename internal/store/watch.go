package store

import (
	"context"
	"sync/atomic"
	"time"
)

// CommitHook is told of each transaction: how many updates shared it, how long it
// took with what they did and the wait for the disk, and what came of it. It is
// called on the writer's goroutine and must return at once.
type CommitHook func(updates int, took time.Duration, err error)

// watch knows when something was stored last.
type watch struct {
	committed CommitHook
	placed    func(result string, n int) // nil: nobody counts
	last      atomic.Int64               // microseconds of this machine's clock; 0: never
}

// note takes down a transaction. One that changed no row proves nothing: it may not
// have touched the disk.
func (w *watch) note(updates int, changed int64, begun time.Time, err error) {
	if err == nil && changed > 0 {
		w.last.Store(time.Now().UnixMicro())
	}
	if w.committed != nil && updates > 0 {
		w.committed(updates, time.Since(begun), err)
	}
}

// place tells of entries that got their places, by result.
func (w *watch) place(results map[string]int) {
	if w.placed == nil {
		return
	}
	for result, n := range results {
		w.placed(result, n)
	}
}

// sqlProbe changes one row, so that the commit has to reach the disk.
const sqlProbe = `INSERT INTO probe (id, at) VALUES (1, $1) ON CONFLICT (id) DO UPDATE SET at = excluded.at`

// Writable tells whether changes can be stored. If one was within the last fresh,
// that is the answer; else it makes one.
func (s *Store) Writable(ctx context.Context, fresh time.Duration) error {
	if age := time.Now().UnixMicro() - s.w.watch.last.Load(); age >= 0 && age < fresh.Microseconds() {
		return nil
	}
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(sqlProbe, t.now.UnixMicro())
		return err
	})
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
)

// connect takes a connection of the pool for the writer.
func (w *writer) connect() (err error) {
	ctx := w.base
	if w.d.server {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(w.base, 2*connectTime)
		defer cancel()
	}
	w.conn, err = w.db.Conn(ctx)
	w.down = err != nil
	return err
}

// drop gives up a connection that is of no use any more.
func (w *writer) drop() {
	w.forget()
	if w.conn == nil {
		return
	}
	_ = w.conn.Raw(func(any) error { return driver.ErrBadConn }) // the pool is not to use it again
	_ = w.conn.Close()                                           // see above
	w.conn = nil
}

// forget drops the prepared statements.
func (w *writer) forget() {
	for _, s := range w.stmts {
		_ = s.Close() // only memory
	}
	clear(w.stmts)
}

func (w *writer) exec(query string, args ...any) error {
	s, err := w.stmt(query) //nolint:sqlclosecheck // kept for the next time
	if err != nil {
		return err
	}
	_, err = s.ExecContext(w.ctx, args...)
	return err
}

// stmt returns the prepared form of a statement. The program has a fixed number
// of statements, so the cache is bounded.
func (w *writer) stmt(query string) (*sql.Stmt, error) {
	if s := w.stmts[query]; s != nil {
		return s, nil
	}
	if w.conn == nil {
		return nil, driver.ErrBadConn
	}
	s, err := w.conn.PrepareContext(w.ctx, w.d.sql(query))
	if err != nil {
		return nil, err
	}
	w.stmts[query] = s
	return s, nil
}

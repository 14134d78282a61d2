package store

import (
	"context"
	"database/sql"
	"database/sql/driver"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
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

// lose gives up a connection that broke, or hangs.
func (w *writer) lose() {
	if w.d.primary != nil && w.conn != nil {
		w.d.primary.lose()
	}
	w.drop()
}

// superseded tells whether the writer's server is no longer to be used.
func (w *writer) superseded() (yes bool) {
	if w.d.primary == nil || w.conn == nil {
		return false
	}
	err := w.onConn(func(c *pgconn.PgConn) error {
		yes = !w.d.primary.holds(c)
		return nil
	})
	return yes || err != nil
}

// errUnreplicated is what a commit ends with that the server let through without
// its synchronous standby, because somebody cancelled the wait: a fail-over would
// lose it.
var errUnreplicated = &pgconn.PgError{Severity: "WARNING", Code: "57014", Message: "the commit was not confirmed by the standby"}

// confirmed runs what commits, and is an error if a standby has not confirmed that.
func (w *writer) confirmed(commit func() error) error {
	if !w.d.server || w.conn == nil {
		return commit()
	}
	if err := w.onConn(func(c *pgconn.PgConn) error { delete(c.CustomData(), dataWarned); return nil }); err != nil {
		return err
	}
	if err := commit(); err != nil {
		return err
	}
	return w.onConn(func(c *pgconn.PgConn) error {
		if c.CustomData()[dataWarned] != nil {
			return errUnreplicated
		}
		return nil
	})
}

// onConn calls fn with the connection below the writer's.
func (w *writer) onConn(fn func(*pgconn.PgConn) error) error {
	return w.conn.Raw(func(c any) error {
		d, ok := c.(interface{ Conn() *pgx.Conn })
		if !ok {
			return driver.ErrBadConn
		}
		return fn(d.Conn().PgConn())
	})
}

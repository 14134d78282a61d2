package store

import (
	"cmp"
	"context"
	"database/sql"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
)

// statement is one of several that need not wait for each other's answers.
type statement struct {
	sql  string
	args []any
	row  func(scan func(dest ...any) error) error // for each row of the answer; nil: there is none
}

// unsent is where statements failed of which none was sent.
const unsent = -1

// pipe runs statements in their order, over the network by one round trip. What
// follows one that fails is not run. at is the one that failed.
func (w *writer) pipe(all ...statement) (at int, err error) {
	for _, s := range all { // what is not prepared yet
		if _, err := w.stmt(s.sql); err != nil { //nolint:sqlclosecheck // the writer keeps it
			return unsent, err
		}
	}
	if w.d.server && len(all) > 1 {
		return w.pipeline(all)
	}
	for i, s := range all {
		if err := w.single(s); err != nil {
			return i, err
		}
	}
	return 0, nil
}

// single runs one statement.
func (w *writer) single(s statement) error {
	if s.row == nil {
		return w.exec(s.sql, s.args...)
	}
	st, err := w.stmt(s.sql) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return err
	}
	rows, err := st.QueryContext(w.ctx, s.args...)
	_, err = scanAll(rows, err, func(rows *sql.Rows) (struct{}, error) { return struct{}{}, s.row(rows.Scan) })
	return err
}

// pipeline runs prepared statements of PostgreSQL by one round trip.
func (w *writer) pipeline(all []statement) (at int, err error) {
	var failed error
	err = w.conn.Raw(func(c any) error {
		conn, ok := c.(*stdlib.Conn)
		if !ok {
			return fmt.Errorf("a connection of type %T", c)
		}
		at, failed = sendAll(w.ctx, conn.Conn(), w.d, all)
		return nil // the pool would give up the connection for some errors
	})
	return at, cmp.Or(failed, err)
}

func sendAll(ctx context.Context, c *pgx.Conn, d dialect, all []statement) (at int, err error) {
	var b pgx.Batch
	for _, s := range all {
		b.Queue(d.sql(s.sql), s.args...)
	}
	answers := c.SendBatch(ctx, &b)
	for i, s := range all {
		if err := s.take(answers); err != nil {
			_ = answers.Close() // it repeats the error
			return i, err
		}
	}
	return len(all) - 1, answers.Close()
}

func (s *statement) take(answers pgx.BatchResults) error {
	if s.row == nil {
		_, err := answers.Exec()
		return err
	}
	rows, err := answers.Query()
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := s.row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

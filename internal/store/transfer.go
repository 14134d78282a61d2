package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Moved tells of one table that was carried over.
type Moved struct {
	Table string
	Rows  int64
}

// MoveToPostgres copies everything from the SQLite store of a state directory into
// a PostgreSQL database that holds no jobs, in one transaction: after an error
// nothing of it is there, and it can be started again. The directory stays as it
// is. Kinds: Conflict (the store is in use, or the target holds data), NotFound (no
// store there), Invalid, Unavailable.
func MoveToPostgres(ctx context.Context, dir string, o PostgresOptions) (moved []Moved, err error) {
	c, err := parsePostgres(o)
	if err != nil {
		return nil, err
	}
	lock, from, err := openSource(ctx, dir)
	if err != nil {
		return nil, err
	}
	c.RuntimeParams["idle_in_transaction_session_timeout"] = "0" // the source may be slow
	to := openPostgres(c, toPrimary(c), 2, false)
	defer func() { err = errors.Join(err, from.Close(), to.Close(), lock.Close()) }()
	if err := migratePostgres(ctx, to); err != nil {
		return nil, err
	}
	tx, err := to.BeginTx(ctx, nil)
	if err != nil {
		return nil, classify(err)
	}
	defer tx.Rollback() //nolint:errcheck // after a commit there is nothing left to undo
	if moved, err = moveAll(ctx, from, tx); err != nil {
		return nil, err
	}
	return moved, classify(tx.Commit())
}

// openSource opens the SQLite store of a directory that no daemon uses, and brings
// its schema up to date.
func openSource(ctx context.Context, dir string) (lock io.Closer, db *sql.DB, err error) {
	file := filepath.Join(dir, "hypersdk.db")
	if _, err := os.Stat(file); err != nil {
		return nil, nil, fault.Wrap(err, fault.NotFound, "HX-STORE-030", "there is no store in "+dir, "name the state directory of the daemon that is to move")
	}
	if lock, err = lockDir(dir); err != nil {
		return nil, nil, err
	}
	if db, err = openSQLite(file, Full, 0); err != nil {
		return nil, nil, errors.Join(err, lock.Close())
	}
	if err := migrateSQLite(ctx, db); err != nil {
		return nil, nil, errors.Join(err, db.Close(), lock.Close())
	}
	return lock, db, nil
}

// moveAll copies table after table, those first that others refer to.
func moveAll(ctx context.Context, from *sql.DB, to *sql.Tx) (moved []Moved, err error) {
	tables, err := listTables(ctx, from)
	if err != nil {
		return nil, err
	}
	if err := makeRoom(ctx, tables, to); err != nil {
		return nil, err
	}
	for _, t := range tables {
		n, err := t.copy(ctx, from, to)
		if err != nil {
			return nil, fmt.Errorf("copy the table %s: %w", t.name, classify(err))
		}
		moved = append(moved, Moved{Table: t.name, Rows: n})
	}
	return moved, nil
}

// makeRoom removes from the target what the migrations themselves put into it: it
// is in the source, too, maybe changed since. Kind Conflict: the target holds more.
func makeRoom(ctx context.Context, tables []table, to *sql.Tx) (err error) {
	fresh, err := sql.Open("sqlite", "file::memory:")
	if err != nil {
		return classify(err)
	}
	fresh.SetMaxOpenConns(1) // another one would be another database
	defer func() { err = errors.Join(err, fresh.Close()) }()
	if err := migrateSQLite(ctx, fresh); err != nil {
		return err
	}
	for _, t := range slices.Backward(tables) {
		var had, has int64
		count := `SELECT COUNT(*) FROM ` + t.quoted()
		if err := errors.Join(fresh.QueryRowContext(ctx, count).Scan(&had), to.QueryRowContext(ctx, count).Scan(&has)); err != nil {
			return classify(err)
		}
		if has > had {
			return fault.New(fault.Conflict, "HX-STORE-031", "the PostgreSQL database holds data already (table "+t.name+")",
				"give an empty database; what is in this one is left as it is")
		}
		if _, err := to.ExecContext(ctx, `DELETE FROM `+t.quoted()); err != nil { //nolint:gosec // a name of our schema
			return classify(err)
		}
	}
	return nil
}

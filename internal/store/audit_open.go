package store

import (
	"context"
	"database/sql"
	"errors"
	"os"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Log is the log of a database that is only read, for an audit without a daemon.
type Log struct {
	auditReader
}

// OpenLog opens the log in a SQLite file, whether a daemon uses it or not. Nothing
// is written to it. Kinds: NotFound, Unprocessable (its schema is older than the
// audit), Unavailable.
func OpenLog(ctx context.Context, file string) (*Log, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, fault.Wrap(err, fault.NotFound, "HX-AUDIT-010", "there is no database "+file, "name the hypersdk.db of a state directory")
	}
	db, err := openSQLite(file, Full, 1)
	if err != nil {
		return nil, err
	}
	return newLog(ctx, db)
}

// OpenPostgresLog opens the log in a PostgreSQL database. Kinds: Invalid,
// Unprocessable, Unavailable.
func OpenPostgresLog(ctx context.Context, o PostgresOptions) (*Log, error) {
	c, err := parsePostgres(o)
	if err != nil {
		return nil, err
	}
	return newLog(ctx, openPostgres(c, toPrimary(c), 1, true))
}

func newLog(ctx context.Context, db *sql.DB) (*Log, error) {
	l := &Log{auditReader: auditReader{db: &pool{DB: db}, all: true}}
	if _, err := l.After(ctx, 0); err != nil {
		return nil, fault.Wrap(errors.Join(err, db.Close()), fault.Unprocessable, "HX-AUDIT-011", "the database has no audit log, or cannot be read",
			"start a daemon of this version on it once, or check the permissions")
	}
	return l, nil
}

// After returns the checkpoints of more entries than the log says that it has.
func (l *Log) After(ctx context.Context, size int64) ([]audit.Line, error) {
	rows, err := l.db.QueryContext(ctx, `SELECT note FROM log_checkpoints WHERE size > $1 ORDER BY size DESC LIMIT 1`, size)
	lines, err := scanAll(rows, err, func(rows *sql.Rows) (line audit.Line, err error) {
		return line, rows.Scan(&line.Checkpoint)
	})
	return lines, classify(err)
}

// Close closes the database.
func (l *Log) Close() error { return classify(l.db.Close()) }

package store

import (
	"context"
	"database/sql"
	"errors"
	"net/url"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// cacheKiB is how much of the database each connection may keep in memory. The
// journal of savepoints stays in memory too.
const cacheKiB = "4096"

// openSQLite opens the database file: for one writer, or for a number of readers
// that cannot write.
func openSQLite(file string, mode Sync, readers int) (*sql.DB, error) {
	q := url.Values{"_pragma": {
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + string(mode) + ")",
		"foreign_keys(1)", "wal_autocheckpoint(0)", "temp_store(MEMORY)", "cache_size(-" + cacheKiB + ")",
	}}
	if readers > 0 {
		q.Add("_pragma", "query_only(1)")
	}
	u := url.URL{Scheme: "file", Path: file, RawQuery: q.Encode()}
	db, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, classify(err)
	}
	db.SetMaxOpenConns(max(1, readers))
	db.SetMaxIdleConns(max(1, readers))
	return db, nil
}

// sqliteCode returns the primary result code of SQLite, 0 for another error.
func sqliteCode(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// isOfDatabase tells whether a database refused a statement: the transaction may
// be of no use after it.
func isOfDatabase(err error) bool { return sqliteCode(err) != 0 || pgCode(err) != "" || isLost(err) }

// isFatal tells whether the file below can no longer be trusted: after a failed
// fsync the kernel may have dropped what was not written, and trying again would
// seem to work.
func isFatal(err error) bool {
	switch sqliteCode(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_READONLY:
		return true
	}
	return false
}

// classify gives an error of the database its kind. Errors that have one, and
// those of a context, stay as they are; the time that a connection may take to be
// made is nobody's context.
func classify(err error) error {
	_, known := errors.AsType[*fault.Error](err)
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case err == nil, known, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded) && !connect:
		return err
	case sqliteCode(err) == sqlite3.SQLITE_FULL:
		return fault.Wrap(err, fault.Unavailable, "HX-STORE-010", "the disk of the state directory is full", "free some space there")
	case isFatal(err):
		return fault.Wrap(err, fault.Unavailable, "HX-STORE-011", "the state database cannot be read or written",
			"check the disk of the state directory; the daemon stops and recovers when it is started again")
	case sqliteCode(err) == sqlite3.SQLITE_BUSY:
		return fault.Wrap(err, fault.Unavailable, "HX-STORE-012", "the state database is locked", "close the program that holds it")
	}
	if known := classifyPostgres(err); known != nil {
		return known
	}
	return fault.Wrap(err, fault.Internal, "HX-STORE-013", "the state database refused a statement", "see the daemon's log")
}

package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// connectTime is how long one server may take to let us in.
	connectTime = 5 * time.Second
	// What the server is told about our sessions: a node that stops in the middle
	// of a transaction (suspended, cut off) must not keep its row locks for long.
	lockTime = "3s"
	idleTime = "5s"
)

// parsePostgres reads the URL of a PostgreSQL database. What it lacks comes from
// the usual variables (PGPASSWORD, PGPASSFILE, PGSSLMODE, …). Without sslmode
// the server must prove who it is, unless it is on this machine. Kind Invalid.
func parsePostgres(o PostgresOptions) (*pgx.ConnConfig, error) {
	u, err := url.Parse(o.URL.Reveal())
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, errPostgresURL(nil) // the parser's error may show the password
	}
	q := u.Query()
	if !q.Has("sslmode") && os.Getenv("PGSSLMODE") == "" && !onThisMachine(u) {
		q.Set("sslmode", "verify-full")
		u.RawQuery = q.Encode()
	}
	c, err := pgx.ParseConfig(u.String())
	if err != nil {
		return nil, errPostgresURL(err)
	}
	if !o.Password.Empty() {
		c.Password = o.Password.Reveal()
	}
	c.ConnectTimeout = connectTime
	for k, v := range map[string]string{
		"application_name": "hypervisord", "lock_timeout": lockTime, "idle_in_transaction_session_timeout": idleTime,
		"default_transaction_isolation": "read committed", "synchronous_commit": "on",
		// Every question has its index. The planner does not know that as long as it has
		// seen no statistics of a young table, and keeps the plan that it made then.
		"enable_seqscan": "off", "enable_bitmapscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off", "jit": "off",
	} {
		if _, given := c.RuntimeParams[k]; !given {
			c.RuntimeParams[k] = v
		}
	}
	return c, nil
}

func errPostgresURL(err error) error {
	return &fault.Error{Kind: fault.Invalid, Code: "HX-STORE-020", Err: err,
		Msg: "the URL of the PostgreSQL database is not valid",
		Fix: "write postgres://USER@HOST:PORT/DATABASE, and the password into store_password_file"}
}

// onThisMachine tells whether all hosts of the URL are loopback addresses or
// sockets.
func onThisMachine(u *url.URL) bool {
	hosts := u.Query()["host"]
	if u.Host != "" {
		hosts = append(hosts, u.Host)
	}
	for _, list := range hosts {
		for host := range strings.SplitSeq(list, ",") {
			if name, _, err := net.SplitHostPort(host); err == nil {
				host = name
			}
			ip := net.ParseIP(strings.Trim(host, "[]"))
			if host != "localhost" && !strings.HasPrefix(host, "/") && (ip == nil || !ip.IsLoopback()) {
				return false
			}
		}
	}
	return true
}

// openPostgres makes a pool of connections to the primary; readers cannot write. It
// does not connect yet.
func openPostgres(c *pgx.ConnConfig, p *primary, size int, readers bool) *sql.DB {
	options := []stdlib.OptionOpenDB{stdlib.OptionResetSession(p.reset)}
	c = c.Copy()
	if readers {
		c.DialFunc = impatient(c.DialFunc)
		// Not before it is known whether the server takes changes.
		options = append(options, stdlib.OptionAfterConnect(func(ctx context.Context, c *pgx.Conn) error {
			_, err := c.Exec(ctx, "SET default_transaction_read_only = on")
			return err
		}))
	} else if _, given := c.RuntimeParams["enable_sort"]; !given {
		// A writer's question is about a few rows in the order of its index. Where the
		// statistics know nothing of a crowd, sorting a few rows of another one seems cheap.
		c.RuntimeParams["enable_sort"] = "off"
	}
	db := stdlib.OpenDB(*c, options...)
	db.SetMaxOpenConns(size)
	db.SetMaxIdleConns(size)
	return db
}

// pgCode returns the SQLSTATE of PostgreSQL, empty for another error.
func pgCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// isUndone tells whether the database undid the whole transaction because of
// others that ran at the same time: nothing of it happened, and it may be run
// again.
func isUndone(err error) bool {
	switch pgCode(err) {
	case "40001", "40P01", "55P03": // serialization failure, deadlock, lock timeout
		return true
	}
	return false
}

// isLost tells whether the connection is of no use any more: the server went
// away, or is not the one that takes changes.
func isLost(err error) bool {
	if err == nil {
		return false
	}
	if code := pgCode(err); code != "" {
		switch {
		case strings.HasPrefix(code, "08"), strings.HasPrefix(code, "57P"), strings.HasPrefix(code, "53"),
			code == "25P03", code == "25006", code == "57014", code == "58030":
			return true
		}
		return false
	}
	if _, known := errors.AsType[*fault.Error](err); known {
		return false
	}
	_, network := errors.AsType[net.Error](err)
	_, connect := errors.AsType[*pgconn.ConnectError](err)
	return network || connect || pgconn.SafeToRetry(err) || pgconn.Timeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, driver.ErrBadConn) || errors.Is(err, sql.ErrConnDone) || errors.Is(err, net.ErrClosed)
}

// classifyPostgres gives an error of PostgreSQL its kind; nil: it is none.
func classifyPostgres(err error) error {
	switch code := pgCode(err); {
	case strings.HasPrefix(code, "28"), code == "3D000", code == "42501":
		return fault.Wrap(err, fault.Unavailable, "HX-STORE-021", "the PostgreSQL server does not let us in, or not to this database",
			"check user, password, database and pg_hba.conf (see the daemon's log)")
	case code == "22021", code == "22P05":
		return fault.Wrap(err, fault.Invalid, "HX-STORE-022", "a text holds a NUL byte, or is not UTF-8", "correct it")
	case isUndone(err):
		return fault.Wrap(err, fault.Unavailable, "HX-STORE-023", "other changes were in the way", "try again")
	case isLost(err):
		return fault.Wrap(err, fault.Unavailable, "HX-STORE-024", "the PostgreSQL server does not answer",
			"check that it runs and that this machine reaches it; the daemon goes on by itself when it is back")
	}
	return nil
}

// ask runs a query for one number.
func ask(ctx context.Context, db *sql.DB, query string) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	err = db.QueryRowContext(ctx, query).Scan(&n)
	return n, classify(err)
}

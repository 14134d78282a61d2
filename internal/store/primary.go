package store

import (
	"context"
	"database/sql/driver"
	"errors"
	"net"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sys/unix"
)

const (
	// vanished is how long a server that is gone without a word (a power cut, a cut
	// cable) is waited for.
	vanished = 10 * time.Second
	// silence is how long a server that is still there may say nothing in the middle of
	// an answer to a reader. Writers have their patience.
	silence = 15 * time.Second

	// sqlTimeline asks a primary for its timeline, in hexadecimal: each promotion
	// begins a higher one.
	sqlTimeline = `SELECT substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)`

	// Kept with a connection.
	dataTimeline = "timeline"
	dataMade     = "made"
	dataWarned   = "warned"
)

// primary tells which of several servers is to be taken. It remembers the newest
// timeline that this process has seen: a primary of an older one was superseded by a
// standby and came back, and knows nothing of what has been acknowledged since.
type primary struct {
	newest atomic.Int64
	start  time.Time
	lost   atomic.Int64 // nanoseconds after start, when a connection was lost last
}

var errSuperseded = errors.New("this server was the primary once: a standby has taken over from it")

// toPrimary makes connections of c go to the primary only.
func toPrimary(c *pgx.ConnConfig) *primary {
	p := &primary{start: time.Now()}
	c.ValidateConnect = p.accept
	c.OnNotice = func(conn *pgconn.PgConn, n *pgconn.Notice) {
		if n.SeverityUnlocalized == "WARNING" {
			conn.CustomData()[dataWarned] = true
		}
	}
	d := net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: vanished / 2, Interval: vanished / 4, Count: 2},
		Control: func(_, _ string, c syscall.RawConn) (err error) {
			return c.Control(func(fd uintptr) {
				// It fails on a socket of the file system, which needs none.
				_ = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanished.Milliseconds()))
			})
		},
	}
	c.DialFunc = d.DialContext
	return p
}

// accept implements pgconn.ValidateConnectFunc: only a primary will do, of the
// newest timeline, and one that takes no changes only if there is no other.
func (p *primary) accept(ctx context.Context, conn *pgconn.PgConn) error {
	if err := pgconn.ValidateConnectTargetSessionAttrsPrimary(ctx, conn); err != nil {
		return err
	}
	line := timeline(ctx, conn)
	conn.CustomData()[dataTimeline], conn.CustomData()[dataMade] = line, int64(time.Since(p.start))
	if !p.see(line) {
		return errSuperseded
	}
	if pgconn.ValidateConnectTargetSessionAttrsReadWrite(ctx, conn) != nil {
		// To a primary it says: not preferred.
		return pgconn.ValidateConnectTargetSessionAttrsPreferStandby(ctx, conn)
	}
	return nil
}

// timeline returns the timeline of a primary, 0 if it does not tell: a database
// that only speaks PostgreSQL's protocol has none.
func timeline(ctx context.Context, conn *pgconn.PgConn) int64 {
	r, err := conn.Exec(ctx, sqlTimeline).ReadAll()
	if err != nil || len(r) != 1 || len(r[0].Rows) != 1 {
		return 0
	}
	n, err := strconv.ParseInt(string(r[0].Rows[0][0]), 16, 64)
	if err != nil {
		return 0
	}
	return n
}

// see notes a timeline; ok is false if a newer one is known.
func (p *primary) see(line int64) (ok bool) {
	for {
		newest := p.newest.Load()
		if line <= newest {
			return line == newest || line == 0
		}
		if p.newest.CompareAndSwap(newest, line) {
			return true
		}
	}
}

// lose notes that a connection was of no use any more: so may be those that were
// made before, and if the server hangs each of them would find out for itself, slowly.
func (p *primary) lose() { p.lost.Store(int64(time.Since(p.start))) }

// holds tells whether a connection leads to the newest primary that is known, as far
// as can be told without asking.
func (p *primary) holds(conn *pgconn.PgConn) bool {
	line, _ := conn.CustomData()[dataTimeline].(int64)
	made, _ := conn.CustomData()[dataMade].(int64)
	return p.see(line) && made > p.lost.Load()
}

// reset refuses to use a connection again that does not hold.
func (p *primary) reset(_ context.Context, conn *pgx.Conn) error {
	if !p.holds(conn.PgConn()) {
		return driver.ErrBadConn
	}
	return nil
}

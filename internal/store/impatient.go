package store

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// impatient makes connections on which nobody waits for an answer longer than
// silence: a server that hangs must not hang those who ask it.
func impatient(dial pgconn.DialFunc) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &impatientConn{c}, nil
	}
}

type impatientConn struct{ net.Conn }

// Read implements net.Conn. The deadlines are pgx's to set, so it is closed.
func (c *impatientConn) Read(p []byte) (int, error) {
	t := time.AfterFunc(silence, func() { _ = c.Close() }) // who reads gets an error
	defer t.Stop()
	return c.Conn.Read(p)
}

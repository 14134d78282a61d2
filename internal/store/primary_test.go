package store

import (
	"net"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sys/unix"
)

// TestVanishedServer: the kernel gives up a server that answers no packet, whether
// somebody waits for an answer or not.
func TestVanishedServer(t *testing.T) {
	t.Parallel()
	c, err := pgx.ParseConfig("postgres://127.0.0.1/db")
	if err != nil {
		t.Fatal(err)
	}
	toPrimary(c)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := c.DialFunc(t.Context(), "tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct{ level, option, want int }{
		"data without an answer": {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(vanished.Milliseconds())},
		"keep-alive":             {unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		"idle":                   {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(vanished.Seconds()) / 2},
	} {
		var got int
		if cerr := raw.Control(func(fd uintptr) { got, err = unix.GetsockoptInt(int(fd), c.level, c.option) }); cerr != nil || err != nil || got != c.want {
			t.Errorf("%s: %d, not %d: %v %v", name, got, c.want, cerr, err)
		}
	}
}

// TestTimelines: what is older than the newest does not hold; who has none does.
func TestTimelines(t *testing.T) {
	t.Parallel()
	p := &primary{}
	for _, c := range []struct {
		line int64
		want bool
	}{{0, true}, {1, true}, {1, true}, {3, true}, {1, false}, {2, false}, {3, true}, {0, true}, {4, true}, {3, false}} {
		if got := p.see(c.line); got != c.want {
			t.Errorf("timeline %d of %d: %v", c.line, p.newest.Load(), got)
		}
	}
}

package gate_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/hypersdk/hypersdk/internal/gate"
)

// queue is a listener of connections that come from given addresses.
type queue struct{ from []string }

func (q *queue) Accept() (net.Conn, error) {
	if len(q.from) == 0 {
		return nil, net.ErrClosed
	}
	a, err := net.ResolveTCPAddr("tcp", q.from[0])
	q.from = q.from[1:]
	return &incoming{peer: a}, err
}

func (*queue) Close() error   { return nil }
func (*queue) Addr() net.Addr { return nil }

type incoming struct {
	net.Conn

	peer net.Addr
}

func (i *incoming) RemoteAddr() net.Addr { return i.peer }
func (*incoming) Close() error           { return nil }

func TestConnections(t *testing.T) {
	t.Parallel()
	prefixes := func(text string) []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix(text)} }
	limits := gate.ConnectionLimits{Total: 5, PerClient: 2, Proxies: prefixes("10.0.0.1/32"), Watch: prefixes("10.0.0.9/32"), Reserve: 1}
	for name, c := range map[string]struct {
		from          []string
		open          int
		client, total int64 // refused
	}{
		"one client":               {[]string{"192.0.2.1:1", "192.0.2.1:2", "192.0.2.1:3", "192.0.2.2:1"}, 3, 1, 0},
		"one /64":                  {[]string{"[2001:db8::1]:1", "[2001:db8::2]:1", "[2001:db8::3]:1", "[2001:db8:0:1::1]:1"}, 3, 1, 0},
		"IPv4 written as IPv6":     {[]string{"192.0.2.1:1", "[::ffff:192.0.2.1]:2", "[::ffff:192.0.2.1]:3"}, 2, 1, 0},
		"a zone":                   {[]string{"[fe80::1%eth0]:1", "[fe80::1%eth1]:1", "[fe80::1%eth2]:1"}, 2, 1, 0},
		"a proxy":                  {[]string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4"}, 4, 0, 0},
		"all":                      {[]string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", "10.0.0.1:5", "10.0.0.1:6", "192.0.2.1:1"}, 5, 0, 2},
		"all, and one who watches": {[]string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:3", "10.0.0.1:4", "10.0.0.1:5", "10.0.0.9:1", "10.0.0.9:2"}, 6, 0, 1},
	} {
		count := gate.NewConnections(limits)
		l := count.Limit(&queue{from: c.from})
		var conns []net.Conn
		for {
			conn, err := l.Accept()
			if err != nil {
				break
			}
			conns = append(conns, conn)
		}
		open, refused := count.Open()
		if open != c.open || len(conns) != c.open || refused["client"] != c.client || refused["total"] != c.total {
			t.Errorf("%s: %d open, %d counted, refused %v", name, len(conns), open, refused)
		}
		for range 2 { // closing again counts once
			for _, conn := range conns {
				if err := conn.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if open, _ := count.Open(); open != 0 {
			t.Errorf("%s: afterwards %d", name, open)
		}
		if _, err := count.Limit(&queue{from: c.from[:1]}).Accept(); err != nil {
			t.Errorf("%s: afterwards nobody gets in: %v", name, err)
		}
	}
}

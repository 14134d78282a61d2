package gate

import (
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
)

// ConnectionLimits say how many connections may be open at once.
type ConnectionLimits struct {
	Total     int // of all clients
	PerClient int // of one client: an IPv4 address, or an IPv6 /64
	// Proxies speak for many clients: PerClient does not hold for them.
	Proxies Proxies
	// Reserve is how many more there are, beyond Total, for the networks Watch: who
	// looks after the daemon gets in when it is full.
	Watch   []netip.Prefix
	Reserve int
}

// Reasons why a connection is refused.
const (
	refusedTotal  = "total"
	refusedClient = "client"
)

// Connections counts the connections of a listener by their peers: before a
// request is read nobody else is known. Its methods may be called concurrently.
type Connections struct {
	limits ConnectionLimits

	mu      sync.Mutex
	open    map[netip.Addr]int
	total   int
	refused map[string]int64
}

// NewConnections makes the count.
func NewConnections(l ConnectionLimits) *Connections {
	return &Connections{limits: l, open: make(map[netip.Addr]int), refused: map[string]int64{refusedTotal: 0, refusedClient: 0}}
}

// Open tells how many connections are open, and how many were refused by reason.
func (c *Connections) Open() (open int, refused map[string]int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.total, maps.Clone(c.refused)
}

// Limit returns the listener, which hands on only the connections that may be
// open. The others are reset without a word: an answer would cost what they are
// refused to save, and who speaks TLS would not understand it.
func (c *Connections) Limit(l net.Listener) net.Listener { return &limited{Listener: l, count: c} }

type limited struct {
	net.Listener

	count *Connections
}

// Accept waits for the next connection that may be open.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		client, ok := l.count.enter(conn.RemoteAddr())
		if ok {
			return &counted{Conn: conn, leave: sync.OnceFunc(func() { l.count.leave(client) })}, nil
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // no state stays behind, here or in the kernel
		}
		_ = conn.Close() // nobody to tell
	}
}

func (c *Connections) enter(peer net.Addr) (client netip.Addr, ok bool) {
	addr, _ := parseAddr(peer.String())
	client = network(addr)
	c.mu.Lock()
	defer c.mu.Unlock()
	total := c.limits.Total
	if slices.ContainsFunc(c.limits.Watch, func(n netip.Prefix) bool { return n.Contains(addr) }) {
		total += c.limits.Reserve
	}
	switch {
	case c.open[client] >= c.limits.PerClient && !c.limits.Proxies.trusts(addr):
		c.refused[refusedClient]++
	case c.total >= total:
		c.refused[refusedTotal]++
	default:
		c.open[client]++
		c.total++
		return client, true
	}
	return client, false
}

func (c *Connections) leave(client netip.Addr) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[client]--; c.open[client] == 0 {
		delete(c.open, client)
	}
	c.total--
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn

	leave func()
}

// Close ends the connection.
func (c *counted) Close() error {
	err := c.Conn.Close()
	c.leave()
	return err
}

// CloseWrite tells the peer that nothing more comes: net/http lets it read the
// last answer so.
func (c *counted) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

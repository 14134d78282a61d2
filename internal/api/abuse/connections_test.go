package abuse_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Bounds of a server with few connections.
const (
	fewTotal, fewClient, fewReserved = 20, 6, 2
	watchIP                          = "127.4.0.9" // of who looks after it
)

// clogged gives connections that take no more than a few answers, whatever the kernel
// would do for a client that reads nothing.
type clogged struct{ net.Listener }

func (l clogged) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &cloggedConn{Conn: conn, closed: make(chan struct{})}, nil
}

type cloggedConn struct {
	net.Conn

	written int
	once    sync.Once
	closed  chan struct{}
}

func (c *cloggedConn) Write(p []byte) (int, error) {
	if c.written += len(p); c.written > 4096 {
		<-c.closed
		return 0, net.ErrClosed
	}
	return c.Conn.Write(p)
}

func (c *cloggedConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// few is another server over the same doors, which takes few connections. edit may
// be nil.
func (w *world) few(edit func(s *http.Server)) (addr string, count *gate.Connections) {
	w.t.Helper()
	count = gate.NewConnections(gate.ConnectionLimits{
		Total: fewTotal, PerClient: fewClient, Proxies: gate.Proxies{netip.MustParsePrefix(proxyIP + "/32")},
		Watch: []netip.Prefix{netip.MustParsePrefix(watchIP + "/32")}, Reserve: fewReserved,
	})
	server := rest.NewServer(w.api, w.logger)
	if edit != nil {
		edit(server)
	}
	return w.serveOn(count.Limit(listen(w.t, "127.0.0.1")), server, w.stop), count
}

// hold opens connections until one is refused, and tells how many there are. Each
// has an answer: it is open on the other side, too.
func (c caller) hold(addr, ip string, most int) (open int, leave func()) {
	c.t.Helper()
	c = c.from(c.t, ip)
	var conns []net.Conn
	leave = func() {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
	for ; open < most; open++ {
		conn, err := c.client.Transport.(*http.Transport).DialContext(c.t.Context(), "tcp", addr)
		if err != nil {
			return open, leave
		}
		conns = append(conns, conn)
		must(c.t, conn.SetDeadline(time.Now().Add(time.Minute)))
		_, err = io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
		if err != nil || answerOf(conn) != "200" {
			return open, leave
		}
	}
	return open, leave
}

func connections() []abuse {
	const over = 3 * fewTotal
	return []abuse{
		{name: "connections: more than a client may have", want: "6 of one, 6 of another; afterwards 6", try: func(w *world, c caller) string {
			addr, count := w.few(nil)
			one, leave := c.hold(addr, "127.4.1.1", over)
			two, leaveToo := c.hold(addr, "127.4.1.2", over)
			leave()
			leaveToo()
			empty(w, count)
			again, leave := c.hold(addr, "127.4.1.1", over)
			leave()
			return fmt.Sprintf("%d of one, %d of another; afterwards %d", one, two, again)
		}},
		{name: "connections: more than there are, from many addresses", want: "20 open, and 2 of who looks after it", try: func(w *world, c caller) string {
			addr, count := w.few(nil)
			open := 0
			for i := range over {
				n, leave := c.hold(addr, fmt.Sprintf("127.4.2.%d", i+1), fewClient)
				defer leave()
				open += n
			}
			probes, leave := c.hold(addr, watchIP, over)
			defer leave()
			if _, refused := count.Open(); refused["total"] == 0 || refused["client"] != 0 {
				return fmt.Sprint(refused)
			}
			return fmt.Sprintf("%d open, and %d of who looks after it", open, probes)
		}},
		{name: "connections: a proxy speaks for many", want: "20 of the proxy", try: func(w *world, c caller) string {
			addr, _ := w.few(nil)
			n, leave := c.hold(addr, proxyIP, over)
			defer leave()
			return fmt.Sprintf("%d of the proxy", n)
		}},
		{name: "slow: reads no answer over HTTP/1.1", want: "closed", waits: true, try: func(w *world, c caller) string {
			addr, count := w.few(func(s *http.Server) { s.WriteTimeout = 300 * time.Millisecond })
			conn := c.deaf(addr)
			defer func() { _ = conn.Close() }()
			_, err := io.WriteString(conn, "GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
			must(c.t, err)
			if got := answerOf(conn); got != "200" { // it counts
				return got
			}
			go func() {
				_, _ = io.WriteString(conn, strings.Repeat("GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n", 1000))
			}()
			return empty(w, count)
		}},
		{name: "sockets: a message of 2 MiB", want: "1009", try: func(_ *world, c caller) string {
			return c.socket("/ws", "", strings.Repeat("x", 2*mib))
		}},
		{name: "sockets: a message of 2 MiB to GraphQL", want: "1009", try: func(_ *world, c caller) string {
			return c.socket("/graphql", "graphql-transport-ws", `{"type":"connection_init","payload":{"a":"`+strings.Repeat("x", 2*mib)+`"}}`)
		}},
		{name: "sockets: talk to a stream that takes none", want: "4400", try: func(_ *world, c caller) string { return c.socket("/ws", "", "{}") }},
		{name: "sockets: 21 subscriptions on one", want: "4429", try: func(w *world, c caller) string {
			messages := []string{`{"type":"connection_init"}`}
			for i := range 21 {
				messages = append(messages, fmt.Sprintf(`{"id":"%d","type":"subscribe","payload":{"query":"subscription{jobUpdates(id:\"%s\"){id}}"}}`, i, w.us.job))
			}
			return c.socket("/graphql", "graphql-transport-ws", messages...)
		}},
		{name: "sockets: one more than a caller may have", want: fmt.Sprintf("%d open, then 4429 and 429 HX-STREAM-001", stream.PerPrincipal), try: tooManySockets},
	}
}

// deaf is a connection that holds little of what it does not read.
func (c caller) deaf(addr string) net.Conn {
	c.t.Helper()
	conn := c.dial(addr)
	must(c.t, conn.(*net.TCPConn).SetReadBuffer(4096))
	return conn
}

// empty waits until the server has no connection, which is its own doing if nobody
// closed one.
func empty(w *world, count *gate.Connections) string {
	eventually(w.t, "the connections are closed", func() bool {
		open, _ := count.Open()
		return open == 0
	})
	return "closed"
}

// socket sends messages over a WebSocket and tells the code by which it is closed.
func (c caller) socket(path, protocol string, messages ...string) string {
	c.t.Helper()
	conn := c.openSocket(path, protocol)
	defer func() { _ = conn.CloseNow() }()
	for _, m := range messages {
		if conn.Write(c.t.Context(), websocket.MessageText, []byte(m)) != nil {
			break // it is closed, and says why
		}
	}
	return closedBy(c, conn)
}

func closedBy(c caller, conn *websocket.Conn) string {
	for {
		if _, _, err := conn.Read(c.t.Context()); err != nil {
			return fmt.Sprint(int(websocket.CloseStatus(err)))
		}
	}
}

func (c caller) openSocket(path, protocol string) *websocket.Conn {
	c.t.Helper()
	options := &websocket.DialOptions{HTTPClient: c.client, HTTPHeader: http.Header{"X-Api-Key": {c.key}}}
	if protocol != "" {
		options.Subprotocols = []string{protocol}
	}
	conn, res, err := websocket.Dial(c.t.Context(), "ws://"+c.world.addr+path, options)
	must(c.t, err)
	if res.Body != nil {
		_ = res.Body.Close()
	}
	return conn
}

// tooManySockets opens sockets until there are no more, then asks for one by each way.
func tooManySockets(w *world, c caller) string {
	c = w.member("us", "127.3.0.4", tenant.Viewer).from(c.t, "127.3.0.4")
	for range stream.PerPrincipal {
		conn := c.openSocket("/ws", "")
		defer func() { _ = conn.CloseNow() }()
		if _, _, err := conn.Read(c.t.Context()); err != nil { // ready: it is counted
			return err.Error()
		}
	}
	more := c.openSocket("/ws", "")
	defer func() { _ = more.CloseNow() }()
	return fmt.Sprintf("%d open, then %s and %s", stream.PerPrincipal, closedBy(c, more),
		c.rest("GET", "/graphql", "", "Upgrade", "websocket", "Connection", "Upgrade"))
}

package abuse_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"time"

	"golang.org/x/net/http2"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"golang.org/x/net/http2/hpack"
)

// peer speaks HTTP/2 frame by frame.
type peer struct {
	c    caller
	conn net.Conn
	out  *http2.Framer
	text bytes.Buffer
	pack *hpack.Encoder
	next uint32
}

// peer opens a connection. What the server says is not read.
func (c caller) peer(addr string, settings ...http2.Setting) *peer {
	c.t.Helper()
	p := &peer{c: c, conn: c.deaf(addr), next: 1}
	p.out = http2.NewFramer(p.conn, p.conn)
	p.pack = hpack.NewEncoder(&p.text)
	_, err := io.WriteString(p.conn, http2.ClientPreface)
	must(c.t, err)
	must(c.t, p.out.WriteSettings(settings...))
	return p
}

// headers is a block that asks for a path, with the key.
func (p *peer) headers(path string) []byte {
	p.text.Reset()
	for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", path}, {"x-api-key", p.c.key}} {
		_ = p.pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]})
	}
	return p.text.Bytes()
}

// get opens a stream.
func (p *peer) get(path string) (id uint32, err error) {
	id = p.next
	p.next += 2
	return id, p.out.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: p.headers(path), EndStream: true, EndHeaders: true})
}

// end reads until the server ends the connection or the first of some streams, or
// answers a ping, and tells which.
func (p *peer) end() string {
	for {
		f, err := p.out.ReadFrame()
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			return "GOAWAY " + f.ErrCode.String()
		case *http2.PingFrame:
			if f.IsAck() {
				return "goes on"
			}
		case *http2.RSTStreamFrame:
			return "RST_STREAM " + f.ErrCode.String()
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return "open"
		}
		if err != nil {
			return "closed"
		}
	}
}

// flood writes the same frame until the server ends the connection.
func (p *peer) flood(write func() error) string {
	for {
		if err := write(); errors.Is(err, os.ErrDeadlineExceeded) {
			return "open"
		} else if err != nil {
			return "closed"
		}
	}
}

func frames() []abuse {
	return []abuse{
		{name: "HTTP/2: 20,000 streams, each reset at once", want: "others 200; afterwards 200", try: rapidReset},
		{name: "HTTP/2: CONTINUATION without an end", want: "GOAWAY PROTOCOL_ERROR", try: func(w *world, c caller) string {
			p := c.peer(w.addr)
			defer func() { _ = p.conn.Close() }()
			must(c.t, p.out.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: p.headers("/jobs")}))
			go func() {
				for { // ends when the connection does
					if p.out.WriteContinuation(1, false, []byte{0, 1, 'a', 1, 'b'}) != nil {
						return
					}
				}
			}()
			return p.end()
		}},
		{name: "HTTP/2: PING without reading the answers", want: "closed", try: func(w *world, c caller) string {
			p := c.peer(w.serveOn(clogged{listen(w.t, "127.0.0.1")}, rest.NewServer(w.api, w.logger), w.stop))
			defer func() { _ = p.conn.Close() }()
			return p.flood(func() error { return p.out.WritePing(false, [8]byte{}) })
		}},
		{name: "HTTP/2: a frame of 1 MiB", want: "GOAWAY FRAME_SIZE_ERROR", try: func(w *world, c caller) string {
			p := c.peer(w.addr)
			defer func() { _ = p.conn.Close() }()
			must(c.t, p.out.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<20-1)))
			return p.end()
		}},
		{name: "HTTP/2: PING, SETTINGS and PRIORITY, and no request", want: "closed", waits: true, try: func(w *world, c caller) string {
			addr, _ := w.few(func(s *http.Server) { s.IdleTimeout = 300 * time.Millisecond })
			p := c.peer(addr)
			defer func() { _ = p.conn.Close() }()
			go func() { _, _ = io.Copy(io.Discard, p.conn) }() // ends with the connection
			return p.flood(func() error {
				return errors.Join(p.out.WritePing(false, [8]byte{}), p.out.WriteSettings(), p.out.WritePriority(1, http2.PriorityParam{}))
			})
		}},
		{name: "slow: a frame without an end", want: "closed", waits: true, try: func(w *world, c caller) string {
			p := c.peer(w.patient())
			defer func() { _ = p.conn.Close() }()
			_, err := p.get("/events") // no idle connection
			must(c.t, err)
			_, err = p.conn.Write([]byte{0, 1, 0, byte(http2.FrameHeaders), 0, 0, 0, 0, 3, 'x'})
			must(c.t, err)
			return p.end()
		}},
		{name: "slow: reads nothing over HTTP/2", want: "closed", waits: true, try: func(w *world, c caller) string {
			addr, count := w.few(func(s *http.Server) {
				s.WriteTimeout, s.IdleTimeout, s.HTTP2.WriteByteTimeout = 300*time.Millisecond, 300*time.Millisecond, 300*time.Millisecond
				s.HTTP2.SendPingTimeout = 0 // which would find out, too, if later
			})
			p := c.peer(addr, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
			defer func() { _ = p.conn.Close() }()
			must(c.t, p.out.WriteWindowUpdate(0, 1<<30))
			if _, err := p.out.ReadFrame(); err != nil { // it counts
				return err.Error()
			}
			for range 100 {
				if _, err := p.get("/openapi.json"); err != nil {
					break
				}
			}
			return empty(w, count)
		}},
		{name: "slow: no room for a stream of events", want: "RST_STREAM INTERNAL_ERROR", waits: true, try: func(w *world, c caller) string {
			p := c.peer(w.addr, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			defer func() { _ = p.conn.Close() }()
			_, err := p.get("/events?after=0")
			must(c.t, err)
			return p.end()
		}},
	}
}

// patient is a server that asks soon whether anybody is there.
func (w *world) patient() (addr string) {
	addr, _ = w.few(func(s *http.Server) {
		s.HTTP2.SendPingTimeout, s.HTTP2.PingTimeout = 200*time.Millisecond, 200*time.Millisecond
	})
	return addr
}

// rapidReset opens streams and resets each at once (CVE-2023-44487), over several
// connections: what they began ends, and nothing of it stays.
func rapidReset(w *world, c caller) string {
	const conns, streams = 4, 5000
	before, held := runtime.NumGoroutine(), rss()
	served := make(chan string, conns)
	for i := range conns {
		go func() {
			p := c.peer(w.addr, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
			defer func() { _ = p.conn.Close() }()
			for n := range streams {
				id, err := p.get([]string{"/events", "/jobs", "/openapi.json", "/nowhere"}[n%4])
				if err == nil {
					err = p.out.WriteRSTStream(id, http2.ErrCodeCancel)
				}
				if err != nil {
					break // the server has had enough
				}
			}
			_ = p.out.WritePing(false, [8]byte{})
			c.t.Log("a connection: ", p.end()) // the server has seen all of it
			served <- w.root.from(c.t, fmt.Sprintf("127.4.3.%d", i+1)).rest("GET", "/jobs", "")
		}()
	}
	others := ""
	for range conns {
		if got := <-served; got != others && others != "" {
			return others + " and " + got
		} else {
			others = got
		}
	}
	eventually(w.t, "the goroutines are gone", func() bool { return runtime.NumGoroutine() <= before+crewAndConns })
	c.t.Logf("%d streams: RSS %d MiB, before %d MiB", conns*streams, rss()>>20, held>>20)
	if grown := rss() - held; grown > 192<<20 {
		return fmt.Sprintf("%d MiB more", grown>>20)
	}
	return "others " + others + "; afterwards " + c.from(c.t, "127.4.3.9").rest("GET", "/jobs", "")
}

// crewAndConns are goroutines that stay: those which run requests, and those of idle
// connections of the test.
const crewAndConns = 64 + 16

// rss is the memory that the process holds.
func rss() int {
	text, _ := os.ReadFile("/proc/self/statm")
	var all, resident int
	_, _ = fmt.Sscan(string(text), &all, &resident)
	return resident * os.Getpagesize()
}

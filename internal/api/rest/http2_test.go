package rest_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/hypersdk/hypersdk/internal/api/rest"
)

// HTTP/2 ends a stream at its write deadline even if nothing is written: the one of
// an event stream holds for each write, not for the silence after it.
func TestStreamIsSilentOverHTTP2(t *testing.T) {
	const limit = 100 * time.Millisecond
	release := make(chan struct{})
	w := newWorld(t, func(_ *rest.Deps, s *http.Server) { s.WriteTimeout = limit })
	defer close(release)
	w.server.Config.Handler.(*rest.API).SetWriteTime(limit / 2)
	w.inv.fail = func() { <-release }
	id := w.submit(1)[0]
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: p}
	defer transport.CloseIdleConnections()
	get := func(path string) (*http.Response, error) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+path, http.NoBody)
		must(t, err)
		req.Header.Set("X-Api-Key", key)
		return transport.RoundTrip(req)
	}
	res, err := get("/jobs/" + id + "/events")
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() && lines.Text() != "event: job.submitted" {
	}
	if slow, err := get("/vms"); err == nil { // it ends at the server's limit: so long has the stream been silent
		_ = slow.Body.Close()
		t.Fatal("a request outlives the server's time")
	}
	_, err = w.api.Cancel(t.Context(), id, "")
	must(t, err)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "event: end") {
			return
		}
	}
	t.Fatalf("the stream broke off: %v", lines.Err())
}

// Streams that are reset at once run on while their handlers do (CVE-2023-44487): no
// more of them than may be open, and a connection that goes on is closed.
func TestResetStreamsAreBounded(t *testing.T) {
	t.Parallel()
	var running, most atomic.Int64
	release := make(chan struct{})
	server := rest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		n := running.Add(1)
		for old := most.Load(); n > old && !most.CompareAndSwap(old, n); old = most.Load() {
		}
		<-release // whatever becomes of the client
		running.Add(-1)
	}), discard)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	must(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	defer func() {
		close(release)
		_ = server.Close()
		<-served
	}()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", l.Addr().String())
	must(t, err)
	defer func() { _ = conn.Close() }()
	_, err = io.WriteString(conn, http2.ClientPreface)
	must(t, err)
	frames := http2.NewFramer(conn, conn)
	must(t, frames.WriteSettings())
	var block bytes.Buffer
	pack := hpack.NewEncoder(&block)
	for id := uint32(1); id < 20_000; id += 2 {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "x"}, {":path", "/"}} {
			must(t, pack.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		if frames.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndStream: true, EndHeaders: true}) != nil ||
			frames.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
			break
		}
	}
	for {
		f, err := frames.ReadFrame()
		must(t, err) // the goodbye comes first
		if bye, ok := f.(*http2.GoAwayFrame); ok {
			if bye.ErrCode != http2.ErrCodeEnhanceYourCalm || bye.LastStreamID > 2*10*uint32(server.HTTP2.MaxConcurrentStreams) {
				t.Errorf("after stream %d: %v", bye.LastStreamID, bye.ErrCode)
			}
			break
		}
	}
	if n := most.Load(); n > int64(server.HTTP2.MaxConcurrentStreams) {
		t.Errorf("%d at once", n)
	}
}

package rest_test

import (
	"bufio"
	"net/http"
	"strings"
	"testing"
	"time"

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

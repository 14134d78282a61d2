package client_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hypersdk/hypersdk/client"
)

// history is a job's stream as the daemon sends it after an event.
func history(after int, events int) string {
	var b strings.Builder
	b.WriteString("retry: 0\n\n: keep-alive\n\n")
	for i := after + 1; i <= events; i++ {
		fmt.Fprintf(&b, "id: %d\nevent: job.retrying\ndata: {\"seq\":%d,\ndata: \"kind\":\"job.retrying\"}\n\n", i, i)
		fmt.Fprintf(&b, "event: progress\ndata: {\"percent\":%d}\n\n", i)
	}
	return b.String() + "event: future\ndata: {}\n\nevent: end\ndata: {}\n\n"
}

func stream(body io.Reader) *http.Response {
	r := reply(200, "text/event-stream", "")
	r.Body = io.NopCloser(body)
	return r
}

func lastID(r *http.Request) int {
	n, err := strconv.Atoi(r.Header.Get("Last-Event-ID"))
	if err != nil {
		return 0
	}
	return n
}

// Wherever a connection breaks, each event comes once and in order.
func TestBreaksLoseNothing(t *testing.T) {
	const events = 6
	for cut := 1; cut < len(history(0, events)); cut++ {
		synctest.Test(t, func(t *testing.T) {
			broken := false
			c := daemon(func(r *http.Request) (*http.Response, error) {
				text := history(lastID(r), events)
				if !broken {
					broken = true
					return stream(strings.NewReader(text[:cut])), nil
				}
				return stream(strings.NewReader(text)), nil
			}).client(t)
			next := int64(1)
			for u, err := range c.Events(t.Context(), "x", 0) {
				if err != nil {
					t.Fatalf("cut after %d: %v", cut, err)
				}
				if u.Event != nil {
					if u.Event.Seq != next {
						t.Fatalf("cut after %d: event %d, want %d", cut, u.Event.Seq, next)
					}
					next++
				}
			}
			if next != events+1 {
				t.Fatalf("cut after %d: %d events", cut, next-1)
			}
		})
	}
}

func TestStreamEnds(t *testing.T) {
	for name, c := range map[string]struct {
		replies []*http.Response // the last one again and again; nil: no answer
		events  int
		code    string // of the error
		calls   int
	}{
		"end":                  {[]*http.Response{stream(strings.NewReader(history(0, 2)))}, 2, "", 1},
		"seen before":          {[]*http.Response{reply(204, "", "")}, 0, "", 1},
		"no such job":          {[]*http.Response{reply(404, "application/problem+json", problem)}, 0, "HX-JOB-020", 1},
		"the daemon restarts":  {[]*http.Response{nil, reply(503, "application/problem+json", problem), stream(strings.NewReader(history(0, 1)))}, 1, "", 3},
		"the daemon is gone":   {[]*http.Response{nil}, 0, "HX-CLIENT-004", 12},
		"a line without end":   {[]*http.Response{stream(io.MultiReader(strings.NewReader("data: "), zeros{}))}, 0, "HX-CLIENT-007", 1},
		"an event that is not": {[]*http.Response{stream(strings.NewReader("id: 1\nevent: x\ndata: {\n\n"))}, 0, "HX-CLIENT-008", 1},
		"a proxy's page":       {[]*http.Response{reply(403, "text/html", "<h1>")}, 0, "HX-CLIENT-006", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				api := daemon(func(*http.Request) (*http.Response, error) {
					r := c.replies[min(calls, len(c.replies)-1)]
					calls++
					if r == nil {
						return nil, errors.New("connection refused")
					}
					return r, nil
				}).client(t)
				events, code := 0, ""
				for u, err := range api.Events(t.Context(), "x", 0) {
					if e, ok := errors.AsType[*client.Error](err); ok {
						code = e.Code
					} else if u.Event != nil {
						events++
					}
				}
				if events != c.events || code != c.code || calls != c.calls {
					t.Fatalf("%d events, error %q, %d calls", events, code, calls)
				}
			})
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '0'
	}
	return len(p), nil
}

// A connection that says nothing, not even a keep-alive, is dead.
func TestSilenceIsABrokenConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		begin := time.Now()
		c := daemon(func(r *http.Request) (*http.Response, error) {
			if calls++; calls > 1 {
				return stream(strings.NewReader(history(lastID(r), 3))), nil
			}
			body, w := io.Pipe()
			go func() {
				_, _ = io.WriteString(w, strings.TrimSuffix(history(0, 1), "event: end\ndata: {}\n\n"))
				<-r.Context().Done() // as http.Transport does
				_ = w.CloseWithError(r.Context().Err())
			}()
			return stream(body), nil
		}).client(t)
		events := 0
		for u, err := range c.Events(t.Context(), "x", 0) {
			if err != nil {
				t.Fatal(err)
			}
			if u.Event != nil {
				events++
			}
		}
		if took := time.Since(begin); events != 3 || calls != 2 || took < 45*time.Second || took > time.Minute {
			t.Fatalf("%d events over %d connections in %s", events, calls, took)
		}
	})
}

func TestStopEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := daemon(func(*http.Request) (*http.Response, error) {
			calls++
			return stream(strings.NewReader(history(0, 3))), nil
		}).client(t)
		for range c.Events(t.Context(), "x", 0) {
			break
		}
		if calls != 1 {
			t.Fatalf("%d connections", calls)
		}
	})
}

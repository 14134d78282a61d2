package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// daemon answers without a network, so that time can be the test's own.
type daemon func(r *http.Request) (*http.Response, error)

func (d daemon) RoundTrip(r *http.Request) (*http.Response, error) { return d(r) }

func (d daemon) client(t *testing.T) *client.Client {
	t.Helper()
	c, err := client.New("http://hx.test:8080/prefix", client.Options{APIKey: "hvk_k", HTTPClient: &http.Client{Transport: d}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func reply(status int, contentType, body string, headers ...string) *http.Response {
	h := http.Header{"Content-Type": {contentType}}
	for i := 0; i < len(headers); i += 2 {
		h.Set(headers[i], headers[i+1])
	}
	return &http.Response{StatusCode: status, Status: fmt.Sprint(status, " ", http.StatusText(status)), Header: h, Body: io.NopCloser(strings.NewReader(body))}
}

const problem = `{"title":"Conflict","status":409,"detail":"it ended","code":"HX-JOB-020","fix":"submit again","request_id":"r1"}`

func TestErrorsAreTyped(t *testing.T) {
	for name, c := range map[string]struct {
		reply *http.Response
		want  client.Error
	}{
		"problem":    {reply(409, "application/problem+json", problem), client.Error{Status: 409, Code: "HX-JOB-020", Detail: "it ended", Fix: "submit again", RequestID: "r1"}},
		"a proxy":    {reply(407, "text/html", "<h1>"), client.Error{Status: 407, Code: "HX-CLIENT-006", Detail: "the answer is 407 Proxy Authentication Required", Fix: "is it hypervisord that listens there?"}},
		"broken":     {reply(400, "application/problem+json", "{"), client.Error{Status: 400, Code: "HX-CLIENT-006", Detail: "the answer is 400 Bad Request", Fix: "is it hypervisord that listens there?"}},
		"a redirect": {reply(302, "text/html", "", "Location", ""), client.Error{Status: 302, Code: "HX-CLIENT-006", Detail: "the answer is 302 Found", Fix: "is it hypervisord that listens there?"}},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			_, err := daemon(func(*http.Request) (*http.Response, error) { calls++; return c.reply, nil }).client(t).Get(t.Context(), "x")
			var e *client.Error
			if !errors.As(err, &e) || calls != 1 {
				t.Fatalf("%d calls: %v", calls, err)
			}
			if e.Status != c.want.Status || e.Code != c.want.Code || e.Detail != c.want.Detail || e.Fix != c.want.Fix || e.RequestID != c.want.RequestID {
				t.Fatalf("%+v", e)
			}
			if got := e.Error(); got != c.want.Code+" "+c.want.Detail+" → "+c.want.Fix {
				t.Fatal(got)
			}
		})
	}
}

func TestTransientFailuresAreRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		keys := map[string]bool{}
		calls := 0
		c := daemon(func(r *http.Request) (*http.Response, error) {
			calls++
			keys[r.Header.Get("Idempotency-Key")] = true
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != `{"jobs":[{"vm_path":"/a"}]}` {
				t.Errorf("call %d sends %q", calls, body)
			}
			switch calls {
			case 1:
				return nil, errors.New("connection refused")
			case 2:
				return reply(503, "application/problem+json", problem, "Retry-After", "7"), nil
			case 3:
				return reply(202, "application/json", `{"job_ids":["a`), nil // cut off: was it accepted?
			default:
				return reply(202, "application/json", `{"job_ids":["a"],"accepted":1,"rejected":0,"errors":[]}`), nil
			}
		}).client(t)
		begin := time.Now()
		got, err := c.Submit(t.Context(), client.Spec{VMPath: "/a"})
		if err != nil || calls != 4 || got.JobIDs[0] != "a" {
			t.Fatal(calls, got, err)
		}
		if len(keys) != 1 || keys[""] {
			t.Fatalf("one submit has the keys %v", keys)
		}
		if took := time.Since(begin); took < 7*time.Second || took > 10*time.Second {
			t.Fatalf("Retry-After is not honoured: %s", took)
		}
	})
}

func TestRepeatingEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		calls := 0
		c := daemon(func(*http.Request) (*http.Response, error) { calls++; return nil, errors.New("connection refused") }).client(t)
		_, err := c.Status(t.Context())
		var e *client.Error
		if !errors.As(err, &e) || calls != 5 || e.Code != "HX-CLIENT-004" || !strings.Contains(e.Detail, "http://hx.test:8080/prefix does not answer: connection refused") {
			t.Fatal(calls, err)
		}
	})
}

func TestContextEndsEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		why := errors.New("the user pressed ctrl-c")
		ctx, cancel := context.WithCancelCause(t.Context())
		c := daemon(func(r *http.Request) (*http.Response, error) { <-r.Context().Done(); return nil, r.Context().Err() }).client(t)
		time.AfterFunc(time.Second, func() { cancel(why) })
		if _, err := c.Get(ctx, "x"); !errors.Is(err, why) {
			t.Fatal(err)
		}
		for _, err := range c.Events(ctx, "x", 0) {
			if !errors.Is(err, why) {
				t.Fatal(err)
			}
		}
	})
}

func TestRequests(t *testing.T) {
	var got *http.Request
	c := daemon(func(r *http.Request) (*http.Response, error) {
		got = r
		return reply(200, "application/json", `{}`), nil
	}).client(t)
	for want, call := range map[string]func() error{
		"GET /prefix/jobs/..%2F..%2Fx%3Fy":                   func() error { _, err := c.Get(t.Context(), "../../x?y"); return err },
		"POST /prefix/jobs/a%2Fb/cancel":                     func() error { _, err := c.Cancel(t.Context(), "a/b", "why"); return err },
		"GET /prefix/vms?path=%2FDC%2F%2A&path=b&provider=v": func() error { _, err := c.VMs(t.Context(), "v", "/DC/*", "b"); return err },
		"GET /prefix/vms":                                    func() error { _, err := c.VMs(t.Context(), ""); return err },
		"GET /prefix/status":                                 func() error { _, err := c.Status(t.Context()); return err },
		"POST /prefix/jobs/query":                            func() error { _, err := c.Query(t.Context(), client.Query{}); return err },
		"POST /prefix/jobs/submit":                           func() error { _, err := c.SubmitFile(t.Context(), []byte("a: b"), "application/yaml"); return err },
	} {
		if err := call(); err != nil {
			t.Fatal(err)
		}
		if line := got.Method + " " + got.URL.RequestURI(); line != want {
			t.Errorf("got %s, want %s", line, want)
		}
		if got.Header.Get("Authorization") != "Bearer hvk_k" || got.Header.Get("User-Agent") != "hypersdk-client" {
			t.Errorf("%s: %v", want, got.Header)
		}
	}
}

func TestHealthOfAnUnhealthyDaemon(t *testing.T) {
	calls := 0
	c := daemon(func(*http.Request) (*http.Response, error) {
		calls++
		return reply(503, "application/json", `{"status":"unhealthy","checks":{"database":{"status":"unhealthy"}}}`), nil
	}).client(t)
	if h, err := c.Health(t.Context()); err != nil || h.Status != "unhealthy" || calls != 1 {
		t.Fatal(h, err, calls)
	}
}

func TestPagesEndWithAnError(t *testing.T) {
	c := daemon(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil || strings.Contains(string(body), "c1") {
			return reply(400, "application/problem+json", problem), err
		}
		return reply(200, "application/json", `{"jobs":[{"id":"1"},{"id":"2"}],"next_cursor":"c1"}`), nil
	}).client(t)
	var ids []string
	var failed error
	for j, err := range c.Jobs(t.Context(), client.Query{}) {
		if failed = err; err == nil {
			ids = append(ids, j.ID)
		}
	}
	if len(ids) != 2 || failed == nil {
		t.Fatal(ids, failed)
	}
}

func TestNew(t *testing.T) {
	for _, bad := range []string{"", "hx:8080", "ftp://hx", "http://", "http://u:p@hx", "http://hx?x=1", "://", "http://hx#f"} {
		if _, err := client.New(bad, client.Options{}); err == nil || strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := client.New("unix:///run/x.sock", client.Options{HTTPClient: http.DefaultClient}); err == nil {
		t.Error("a client of one's own over a socket")
	}
	c, err := client.New("http://hx", client.Options{APIKey: "c4n4ry"})
	if err != nil || strings.Contains(fmt.Sprintf("%+v %#v", c, c), "c4n4ry") {
		t.Errorf("the key shows: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hx.sock")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "localhost" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		_, _ = io.WriteString(w, `{"version":"v1"}`)
	}))
	_ = s.Listener.Close()
	s.Listener = l
	s.Start()
	defer s.Close()
	c, err := client.New("unix://"+path, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := c.Status(t.Context()); err != nil || got.Version != "v1" {
		t.Fatal(got, err)
	}
}

// A redirect must not carry the key elsewhere.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer s.Close()
	c, err := client.New(s.URL, client.Options{APIKey: "k"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err == nil {
		t.Fatal("no error")
	}
}

// TestChangesCarryAKey: whatever changes anything has one key for all its attempts, by
// chance or the caller's, and waits for an attempt that is still at work.
func TestChangesCarryAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var keys []string
		d := daemon(func(r *http.Request) (*http.Response, error) {
			keys = append(keys, r.Method+" "+r.Header.Get("Idempotency-Key"))
			switch len(keys) % 3 {
			case 1:
				return nil, errors.New("the connection broke")
			case 2:
				return reply(409, "application/problem+json", `{"status":409,"code":"HX-IDEM-001"}`, "Retry-After", "1"), nil
			default:
				return reply(201, "application/json", `{}`), nil
			}
		})
		c := d.client(t)
		for _, c := range []*client.Client{c, c.Keyed("mine")} {
			for _, change := range []func() error{
				func() error { _, err := c.CreateKey(t.Context(), "", client.KeyRequest{}); return err },
				func() error { return c.DeleteWebhook(t.Context(), "x") },
				func() error { _, err := c.SubmitFile(t.Context(), []byte("{}"), "application/json"); return err },
			} {
				if err := change(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if len(keys) != 18 || keys[9] != "POST mine" || keys[12] != "DELETE mine.2" || keys[15] != "POST mine.3" {
			t.Fatal(keys)
		}
		seen := map[string]int{}
		for _, k := range keys {
			seen[k]++
		}
		for k, n := range seen {
			if n != 3 || strings.HasSuffix(k, " ") {
				t.Errorf("%q was sent %d times", k, n)
			}
		}
	})
}

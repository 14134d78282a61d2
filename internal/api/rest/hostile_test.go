package rest_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Every refusal is a problem with code, detail and fix, whoever found the fault:
// the decoder, huma, the mux or the service.
func TestBadInput(t *testing.T) {
	w := newWorld(t)
	const js, yaml = "application/json", "application/yaml"
	deep := strings.Repeat(`[`, 100_000)
	bomb := "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\njobs: *c\n"
	cases := []struct {
		name, method, path, contentType, body string
		status                                int
	}{
		{"submit: empty", "POST", "/jobs/submit", js, "", 400},
		{"submit: no job", "POST", "/jobs/submit", js, "[]", 400},
		{"submit: huge", "POST", "/jobs/submit", js, `{"name":"` + strings.Repeat("x", 2<<20) + `"}`, 413},
		{"submit: unknown key", "POST", "/jobs/submit", js, `{"vm_path":"/x","vm_pth":"/y"}`, 400},
		{"submit: key in other case", "POST", "/jobs/submit", js, `{"VM_PATH":"/x"}`, 400},
		{"submit: wrong type", "POST", "/jobs/submit", js, `{"vm_path":7}`, 400},
		{"submit: repeated key", "POST", "/jobs/submit", js, `{"vm_path":"/x","vm_path":"/y"}`, 400},
		{"submit: deep", "POST", "/jobs/submit", js, deep, 400},
		{"submit: many keys", "POST", "/jobs/submit", js, manyKeys(50_000), 400},
		{"submit: many jobs", "POST", "/jobs/submit", js, "[" + strings.Repeat("{},", 300_000) + "{}]", 422},
		{"submit: no JSON", "POST", "/jobs/submit", js, `{"vm_path":`, 400},
		{"submit: two values", "POST", "/jobs/submit", js, spec + spec, 400},
		{"submit: no UTF-8", "POST", "/jobs/submit", js, "{\"name\":\"\xff\"}", 400},
		{"submit: yaml bomb", "POST", "/jobs/submit", yaml, bomb, 400},
		{"submit: yaml tag", "POST", "/jobs/submit", yaml, "vm_path: !!binary aGk=\n", 400},
		{"submit: large yaml", "POST", "/jobs/submit", yaml, "name: " + strings.Repeat("x", 300<<10), 400},
		{"submit: picture", "POST", "/jobs/submit", "image/png", spec, 400},
		{"submit: bad content type", "POST", "/jobs/submit", ";;", spec, 400},
		{"submit: bad values", "POST", "/jobs/submit", js, `{"vm_path":"/x","format":"floppy","timeout":"soon"}`, 422},
		{"submit: unknown parameter", "POST", "/jobs/submit?dry_run=1", js, spec, 400},
		{"submit: gzip", "POST", "/jobs/submit", js, "\x1f\x8b\x08", 400},

		{"query: unknown key", "POST", "/jobs/query", js, `{"jobids":["x"]}`, 400},
		{"query: key in other case", "POST", "/jobs/query", js, `{"LIMIT":1}`, 400},
		{"query: key that folds", "POST", "/jobs/query", js, `{"job_idſ":["x"]}`, 400},
		{"query: repeated key", "POST", "/jobs/query", js, `{"limit":1,"limit":2}`, 400},
		{"query: wrong type", "POST", "/jobs/query", js, `{"limit":"ten"}`, 400},
		{"query: fraction", "POST", "/jobs/query", js, `{"limit":1.5}`, 400},
		{"query: too many", "POST", "/jobs/query", js, `{"limit":1001}`, 400},
		{"query: below", "POST", "/jobs/query", js, `{"limit":-1}`, 400},
		{"query: huge number", "POST", "/jobs/query", js, `{"limit":1e999}`, 400},
		{"query: no status", "POST", "/jobs/query", js, `{"status":["happy"]}`, 400},
		{"query: null in a list", "POST", "/jobs/query", js, `{"status":[null]}`, 400},
		{"query: no time", "POST", "/jobs/query", js, `{"since":"yesterday"}`, 400},
		{"query: list", "POST", "/jobs/query", js, `[]`, 400},
		{"query: text", "POST", "/jobs/query", js, `"x"`, 400},
		{"query: null", "POST", "/jobs/query", js, `null`, 400},
		{"query: empty", "POST", "/jobs/query", js, ``, 400},
		{"query: two values", "POST", "/jobs/query", js, `{}{}`, 400},
		{"query: deep", "POST", "/jobs/query", js, `{"job_ids":` + deep, 400},
		{"query: yaml", "POST", "/jobs/query", yaml, `limit: 1`, 415},
		{"query: huge", "POST", "/jobs/query", js, strings.Repeat(" ", 2<<20), 413},
		{"query: too many ids", "POST", "/jobs/query", js, `{"job_ids":["` + strings.Repeat(`x","`, 1001) + `"]}`, 400},
		{"query: bad cursor", "POST", "/jobs/query", js, `{"cursor":"!"}`, 400},
		{"query: forged cursor", "POST", "/jobs/query", js, `{"cursor":"____________"}`, 400},

		{"list: bad cursor", "GET", "/jobs?cursor=%00", "", "", 400},
		{"list: bad limit", "GET", "/jobs?limit=x", "", "", 400},
		{"list: large limit", "GET", "/jobs?limit=99999999999999999999", "", "", 400},
		{"list: bad status", "GET", "/jobs?status=pending,happy", "", "", 400},
		{"list: bad time", "GET", "/jobs?since=2026", "", "", 400},
		{"list: unknown parameter", "GET", "/jobs?tenant=other", "", "", 400},

		{"cancel: no ids", "POST", "/jobs/cancel", js, `{"job_ids":[]}`, 400},
		{"cancel: missing ids", "POST", "/jobs/cancel", js, `{}`, 400},
		{"cancel: long reason", "POST", "/jobs/x/cancel", js, `{"reason":"` + strings.Repeat("x", 1025) + `"}`, 400},
		{"cancel: long reason in bytes", "POST", "/jobs/x/cancel", js, `{"reason":"` + strings.Repeat("ä", 1000) + `"}`, 400},
		{"cancel: unknown job", "POST", "/jobs/x/cancel", js, `{}`, 404},

		{"job: nonsense", "GET", "/jobs/nonsense", "", "", 404},
		{"job: traversal", "GET", "/jobs/..%2f..%2fetc%2fpasswd", "", "", 404},
		{"job: SQL", "GET", "/jobs/'%20OR%201=1--", "", "", 404},
		{"job: NUL", "GET", "/jobs/%00", "", "", 404},
		{"job: no UTF-8", "GET", "/jobs/%ff%fe", "", "", 404},
		{"job: long", "GET", "/jobs/" + strings.Repeat("a", 16<<10), "", "", 404},
		{"receipt: nonsense", "GET", "/jobs/x/receipt", "", "", 404},
		{"events: nonsense", "GET", "/jobs/x/events", "", "", 404},

		{"no such path", "GET", "/admin", "", "", 404},
		{"no such path below", "POST", "/jobs/x/explode", js, `{}`, 404},
		{"wrong method", "DELETE", "/jobs/x", "", "", 405},
		{"unknown method", "BREW", "/jobs", "", "", 405},
		{"options", "OPTIONS", "/jobs", "", "", 405},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got := w.call(c.method, c.path, c.body, "Content-Type", c.contentType)
			if got.status != c.status {
				t.Fatalf("%d, want %d: %.500s", got.status, c.status, got.body)
			}
			p := got.problem(t)
			if p.Status != c.status || p.Code == "" || p.Detail == "" || p.Fix == "" || p.Title == "" || p.RequestID != got.header.Get("X-Request-ID") {
				t.Fatalf("%+v", p)
			}
			if strings.Contains(got.body, "goroutine") || strings.Contains(got.body, ".go:") || strings.Contains(got.body, "SELECT") {
				t.Fatalf("it tells of our insides: %s", got.body)
			}
			if len(got.body) > 64<<10 {
				t.Fatalf("%d bytes of answer", len(got.body))
			}
		})
	}
	if got := w.call("DELETE", "/jobs/x", ""); !strings.Contains(got.header.Get("Allow"), "GET") {
		t.Fatalf("Allow: %q", got.header.Get("Allow"))
	}
	if got := w.call("POST", "/jobs/query", `{"job_ids":`+deep); got.problem(t).Code != "HX-API-008" {
		t.Fatalf("the depth is not bounded: %.200s", got.body)
	}
	page := w.call("POST", "/jobs/query", `{}`)
	if !strings.Contains(page.body, `"total":0`) {
		t.Fatalf("something got in: %s", page.body)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	b.WriteString(`{"vm_path":"/x"`)
	for i := range n {
		fmt.Fprintf(&b, `,"k%d":1`, i)
	}
	return b.String() + "}"
}

// A secret in the wrong place does not come back.
func TestValuesAreNotEchoed(t *testing.T) {
	w := newWorld(t)
	for _, body := range []string{`{"limit":"hunter2"}`, `{"status":["hunter2"]}`, `hunter2`, `{"since":"hunter2"}`} {
		if got := w.call("POST", "/jobs/query", body); got.status != 400 || strings.Contains(got.body, "hunter2") {
			t.Errorf("%s: %s", body, got.body)
		}
	}
	if strings.Contains(w.log.String(), "hunter2") {
		t.Error("it is in the log")
	}
}

func TestAuthentication(t *testing.T) {
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
		})
	})
	d := fetchDocument(t, w.server)
	for path := range d.at("paths") {
		for method, op := range d.at("paths", path) {
			_, private := op.(map[string]any)["security"]
			for _, wrong := range []string{"", "hvk_wrong"} {
				got := w.call(strings.ToUpper(method), strings.ReplaceAll(path, "{id}", "x"), strings.Repeat("x", 100), "X-API-Key", wrong)
				if private && (got.status != 401 || got.header.Get("WWW-Authenticate") == "" || got.problem(t).Code == "") || !private && got.status != 200 {
					t.Errorf("%s %s with key %q: %d", method, path, wrong, got.status)
				}
			}
		}
	}
	if got := w.call("GET", "/jobs?api_key="+key, "", "X-API-Key", ""); got.status != 401 {
		t.Error("a key in the URL is taken")
	}
	if strings.Contains(w.log.String(), "hvk_") {
		t.Error("a key is in the log")
	}
}

func TestPermissions(t *testing.T) {
	reader := tenant.NewPrincipal(tenant.Default, "key:reader", tenant.JobRead)
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) { d.Gate = gate.New(auth.NewKey(digest(key), reader), nil) })
	for path, status := range map[string]int{
		"GET /jobs": 200, "GET /status": 200, "POST /jobs/submit": 403, "POST /jobs/x/cancel": 403, "GET /vms": 403, "GET /vms/vm-1": 403,
	} {
		method, path, _ := strings.Cut(path, " ")
		body := ""
		if method == "POST" {
			body = spec
		}
		if path == "/jobs/x/cancel" {
			body = ""
		}
		if got := w.call(method, path, body, "Content-Type", "application/json"); got.status != status {
			t.Errorf("%s %s: %+v", method, path, got)
		}
	}
}

func TestAnotherTenantSeesNothing(t *testing.T) {
	w := newWorld(t)
	id := w.submit(1)[0]
	other := tenant.NewPrincipal("other", "key:other", tenant.All()...)
	door := newWorld(t, func(d *rest.Deps, _ *http.Server) { d.Gate = gate.New(auth.NewKey(digest(key), other), nil) })
	for _, path := range []string{"/jobs/" + id, "/jobs/" + id + "/receipt", "/jobs/" + id + "/events"} {
		if got := door.call("GET", path, ""); got.status != 404 {
			t.Errorf("%s: %+v", path, got)
		}
	}
}

func TestOtherOriginsMayNotWrite(t *testing.T) {
	w := newWorld(t)
	for name, headers := range map[string][]string{
		"fetch metadata": {"Sec-Fetch-Site", "cross-site"},
		"origin":         {"Origin", "https://evil.example"},
		"form":           {"Origin", "null", "Content-Type", "text/plain"},
	} {
		if got := w.call("POST", "/jobs/submit", spec, headers...); got.status != 403 || got.problem(t).Code != "HX-API-012" {
			t.Errorf("%s: %+v", name, got)
		}
	}
	if got := w.call("POST", "/jobs/submit", spec, "Origin", w.server.URL, "Sec-Fetch-Site", "same-origin"); got.status != 202 {
		t.Errorf("same origin: %+v", got)
	}
}

func TestPanicIsAnsweredWithAnID(t *testing.T) {
	w := newWorld(t)
	w.inv.fail = func() { panic("hunter2") }
	got := w.call("GET", "/vms", "", "X-Request-ID", "mine-1")
	if p := got.problem(t); got.status != 500 || p.Code != "HX-INT-004" || p.RequestID != "mine-1" {
		t.Fatalf("%+v", got)
	}
	log := w.log.String()
	if strings.Contains(got.body+log, "hunter2") || !strings.Contains(log, `"request_id":"mine-1","panic":"string","stack":"goroutine`) {
		t.Fatal(log)
	}
	w.inv.fail = func() {
		var none []int
		_ = none[len(w.inv.vms)]
	}
	w.call("GET", "/vms", "")
	if !strings.Contains(w.log.String(), "index out of range") {
		t.Fatal("the runtime's own message is lost")
	}
	w.inv.fail = nil
	if got := w.call("GET", "/vms", ""); got.status != 200 {
		t.Fatalf("after a panic: %+v", got)
	}
}

func TestRequestID(t *testing.T) {
	w := newWorld(t)
	for given, keep := range map[string]bool{"abc-1.2_X": true, "": false, "a b": false, `"}{"`: false, strings.Repeat("x", 65): false} {
		got := w.call("GET", "/livez", "", "X-Request-ID", given).header.Get("X-Request-ID")
		if (got == given) != keep || got == "" {
			t.Errorf("%q became %q", given, got)
		}
	}
}

func TestHeaders(t *testing.T) {
	w := newWorld(t)
	got := w.call("GET", "/jobs", "", "Accept", "text/html, application/xml;q=0.9")
	if h := got.header; h.Get("Content-Type") != "application/json" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-store" {
		t.Fatalf("%+v", got)
	}
	if got := w.call("HEAD", "/jobs", ""); got.status != 200 || got.body != "" {
		t.Fatalf("%+v", got)
	}
}

func TestRequestLog(t *testing.T) {
	w := newWorld(t)
	w.call("GET", "/jobs/secret-id", "", "X-Request-ID", "r-1")
	w.call("GET", "/livez", "", "X-Request-ID", "r-2")
	var found bool
	for line := range strings.Lines(w.log.String()) {
		var e map[string]any
		must(t, json.Unmarshal([]byte(line), &e))
		switch e["request_id"] {
		case "r-1":
			found = true
			if e["level"] != "INFO" || e["route"] != "/jobs/{id}" || e["status"] != 404.0 || e["method"] != "GET" || e["took_seconds"] == nil {
				t.Errorf("%s", line)
			}
		case "r-2":
			if e["level"] != "DEBUG" {
				t.Errorf("a probe is loud: %s", line)
			}
		}
	}
	if !found || strings.Contains(w.log.String(), "secret-id") {
		t.Fatal(w.log.String())
	}
}

// Whatever the paths, methods and hosts, the metrics have the series of the
// routes and no more.
func TestSeriesStayConstant(t *testing.T) {
	m := telemetry.NewMetrics(telemetry.Sources{
		Jobs:    func(context.Context) (map[job.State]int64, error) { return map[job.State]int64{}, nil },
		Workers: func() (int, int) { return 1, 0 }, Version: "v", Log: discard,
	})
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) { d.Observe, d.Metrics, d.Log = m.Request, m.Handler(), discard })
	hit := func(from, to int) int {
		for i := from; i < to; i++ {
			path := fmt.Sprintf("/x%d/jobs", i)
			if i%2 == 0 {
				path = fmt.Sprintf("/jobs/%d", i)
			}
			r, err := http.NewRequest(fmt.Sprintf("M%d", i), "http://h"+path, nil)
			must(t, err)
			if i%3 == 0 {
				r.Method = http.MethodGet
			}
			w.server.Config.Handler.ServeHTTP(nobody{http.Header{}}, r)
		}
		return strings.Count(w.call("GET", "/metrics", "").body, "\nhypervisord_http")
	}
	if got := w.call("GET", "/metrics", "", "Accept", "application/openmetrics-text"); !strings.HasPrefix(got.header.Get("Content-Type"), "application/openmetrics-text") {
		t.Fatalf("%v", got.header)
	}
	hit(0, 100) // also makes the series of /metrics itself
	before := hit(100, 200)
	if after := hit(200, 20_000); after != before || before == 0 {
		t.Fatalf("%d series became %d", before, after)
	}
}

type nobody struct{ h http.Header }

func (n nobody) Header() http.Header         { return n.h }
func (n nobody) Write(p []byte) (int, error) { return len(p), nil }
func (n nobody) WriteHeader(int)             {}

func TestServerHasEveryLimit(t *testing.T) {
	s := rest.NewServer(http.NotFoundHandler(), discard)
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 || s.ErrorLog == nil {
		t.Fatalf("%+v", s)
	}
	if h := s.HTTP2; h.MaxConcurrentStreams <= 0 || h.MaxReadFrameSize > 16<<10 || h.MaxReceiveBufferPerConnection > 1<<20 || h.WriteByteTimeout <= 0 || h.SendPingTimeout <= 0 || h.PingTimeout <= 0 {
		t.Fatalf("%+v", h)
	}
}

// slowly shortens the limits, so that a test need not wait for the real ones.
func slowly(_ *rest.Deps, s *http.Server) {
	s.ReadHeaderTimeout, s.ReadTimeout = 100*time.Millisecond, 300*time.Millisecond
}

// Connections that dawdle are closed, and others are served meanwhile.
func TestSlowloris(t *testing.T) {
	w := newWorld(t, slowly)
	for name, begin := range map[string]string{
		"headers":                  "GET /jobs HTTP/1.1\r\nHost: localhost\r\nX-A",
		"nothing":                  "",
		"body that nobody reads":   "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n",
		"body without a key":       "POST /jobs/submit HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
		"chunked, without an end":  "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello",
		"stream with a body to it": "GET /jobs/x/events HTTP/1.1\r\nHost: localhost\r\nX-API-Key: " + key + "\r\nContent-Length: 10\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			conns := make([]net.Conn, 20)
			for i := range conns {
				c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
				must(t, err)
				defer func() { _ = c.Close() }()
				_, err = io.WriteString(c, begin)
				must(t, err)
				conns[i] = c
			}
			if got := w.call("GET", "/jobs", ""); got.status != 200 {
				t.Fatalf("others are not served: %+v", got)
			}
			for _, c := range conns {
				if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) && !isReset(err) {
					t.Fatal(err) // the test's own deadline would end it, were the connection kept
				}
			}
		})
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset by peer") }

// A body that breaks off is the client's fault.
func TestBrokenBody(t *testing.T) {
	w := newWorld(t)
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
	must(t, err)
	defer func() { _ = c.Close() }()
	_, err = fmt.Fprintf(c, "POST /jobs/submit HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\nContent-Length: 100\r\n\r\n{", key)
	must(t, err)
	must(t, c.(*net.TCPConn).CloseWrite())
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != 400 {
		t.Fatal(res.Status)
	}
}

// A client that hangs up, or does not read its answer, is no panic of ours.
func TestClientThatIsGone(t *testing.T) {
	w := newWorld(t, func(_ *rest.Deps, s *http.Server) { s.WriteTimeout = 200 * time.Millisecond })
	vm := w.inv.vms[0]
	vm.Name = strings.Repeat("x", 1<<20)
	w.inv.vms = slices.Repeat([]provider.VM{vm}, 32) // more than the socket's buffers hold
	for name, leave := range map[string]func(net.Conn){
		"hangs up":      func(c net.Conn) { must(t, c.Close()) },
		"does not read": func(net.Conn) {},
	} {
		t.Run(name, func(t *testing.T) {
			before := strings.Count(w.log.String(), `"route":"/vms"`)
			gone, served := make(chan struct{}), make(chan struct{})
			w.inv.fail = func() { close(served); <-gone }
			c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", w.server.Listener.Addr().String())
			must(t, err)
			defer func() { _ = c.Close() }()
			_, err = fmt.Fprintf(c, "GET /vms HTTP/1.1\r\nHost: localhost\r\nX-API-Key: %s\r\n\r\n", key)
			must(t, err)
			<-served
			leave(c)
			close(gone)
			for strings.Count(w.log.String(), `"route":"/vms"`) == before {
				runtime.Gosched()
			}
			if log := w.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "superfluous") {
				t.Fatal(log)
			}
		})
	}
}

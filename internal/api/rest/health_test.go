package rest_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/hypersdk/hypersdk/internal/api/rest"
)

func checks(c map[string]rest.Condition) setup {
	return func(d *rest.Deps, _ *http.Server) {
		d.Health = map[string]rest.HealthCheck{}
		for name, condition := range c {
			d.Health[name] = func(context.Context) rest.Check {
				return rest.Check{Status: condition, Message: "it is " + string(condition)}
			}
		}
	}
}

func TestHealthIsTheWorstCheck(t *testing.T) {
	for name, c := range map[string]struct {
		checks map[string]rest.Condition
		status string
		health int
		ready  int
	}{
		"no checks": {nil, "healthy", 200, 200},
		"healthy":   {map[string]rest.Condition{"database": rest.Healthy, "queue": rest.Healthy}, "healthy", 200, 200},
		"degraded":  {map[string]rest.Condition{"database": rest.Healthy, "providers": rest.Degraded}, "degraded", 200, 200},
		"unhealthy": {map[string]rest.Condition{"database": rest.Unhealthy, "queue": rest.Degraded}, "unhealthy", 503, 503},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, checks(c.checks))
			h, err := w.api.Health(t.Context())
			must(t, err)
			if h.Status != c.status || len(h.Checks) != len(c.checks) || h.Version == "" || h.Uptime <= 0 || h.Timestamp.IsZero() {
				t.Fatalf("%+v", h)
			}
			for name, condition := range c.checks {
				if got := h.Checks[name]; got.Status != string(condition) || got.Message == "" || got.Latency < 0 {
					t.Errorf("%s: %+v", name, got)
				}
			}
			if got := w.call("GET", "/health", "", "X-API-Key", ""); got.status != c.health {
				t.Errorf("/health: %+v", got)
			}
			if got := w.call("GET", "/readyz", "", "X-API-Key", ""); got.status != c.ready {
				t.Errorf("/readyz: %+v", got)
			}
			if got := w.call("GET", "/startupz", "", "X-API-Key", ""); got.status != c.ready {
				t.Errorf("/startupz: %+v", got)
			}
			if got := w.call("GET", "/livez", "", "X-API-Key", ""); got.status != 200 || got.body != "ok\n" {
				t.Errorf("/livez: %+v", got)
			}
		})
	}
}

// Strangers see how each part is, but not what its message tells.
func TestHealthTellsStrangersLess(t *testing.T) {
	w := newWorld(t, checks(map[string]rest.Condition{"database": rest.Healthy, "provider": rest.Unhealthy}))
	for _, path := range []string{"/health", "/readyz?verbose"} {
		for sent, tells := range map[string]bool{"": false, "wrong": false, key: true} {
			got := w.call("GET", path, "", "X-API-Key", sent)
			if got.status != 503 || strings.Contains(got.body, "it is ") != tells || !strings.Contains(got.body, "unhealthy") || !strings.Contains(got.body, "database") {
				t.Errorf("%s with the key %q: %+v", path, sent, got)
			}
		}
	}
}

// The start is over once; what happens later is not its matter.
func TestStartupzLatches(t *testing.T) {
	condition := rest.Unhealthy
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Health = map[string]rest.HealthCheck{"database": func(context.Context) rest.Check { return rest.Check{Status: condition} }}
	})
	for _, step := range []struct {
		is   rest.Condition
		want int
	}{{rest.Unhealthy, 503}, {rest.Degraded, 200}, {rest.Unhealthy, 200}} {
		condition = step.is
		if got := w.call("GET", "/startupz", ""); got.status != step.want {
			t.Errorf("%s: %+v", step.is, got)
		}
	}
}

func TestReadyzTellsWhy(t *testing.T) {
	w := newWorld(t, checks(map[string]rest.Condition{"database": rest.Healthy, "disk": rest.Degraded}))
	if got := w.call("GET", "/readyz", ""); got.body != "ok\n" {
		t.Fatalf("%+v", got)
	}
	want := "[+] database: healthy it is healthy\n[+] disk: degraded it is degraded\nok\n"
	if got := w.call("GET", "/readyz?verbose", ""); got.body != want {
		t.Fatalf("%+v", got)
	}
	w.stop()
	got := w.call("GET", "/readyz", "")
	if got.status != 503 || !strings.Contains(got.body, "[-] shutdown: unhealthy the daemon stops\nnot ready\n") {
		t.Fatalf("%+v", got)
	}
	if got := w.call("GET", "/livez", ""); got.status != 200 {
		t.Fatalf("%+v", got)
	}
	if got := w.call("GET", "/jobs", ""); got.status != 200 {
		t.Fatalf("requests are served until the end: %+v", got)
	}
}

// A check that hangs is reported in time and costs one goroutine, however often
// it is asked for.
func TestCheckThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var running atomic.Int32
		api, err := rest.New(t.Context(), rest.Deps{Log: discard, Health: map[string]rest.HealthCheck{
			"disk_space": func(context.Context) rest.Check {
				running.Add(1)
				<-release
				return rest.Check{Status: rest.Healthy}
			},
			"database": func(context.Context) rest.Check { return rest.Check{Status: rest.Healthy} },
			"provider": func(ctx context.Context) rest.Check {
				<-ctx.Done()
				return rest.Check{Status: rest.Degraded, Message: "vCenter does not answer"}
			},
		}})
		must(t, err)
		for range 5 {
			rec := httptest.NewRecorder()
			api.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/health", nil))
			if rec.Code != 503 || !strings.Contains(rec.Body.String(), `"disk_space":{"status":"unhealthy","message":"no answer within 1s"`) ||
				!strings.Contains(rec.Body.String(), `"database":{"status":"healthy"`) ||
				!strings.Contains(rec.Body.String(), `"provider":{"status":"degraded","message":"vCenter does not answer"`) {
				t.Fatalf("%d %s", rec.Code, rec.Body)
			}
		}
		if n := running.Load(); n != 1 {
			t.Fatalf("%d checks hang", n)
		}
		close(release)
		synctest.Wait()
		rec := httptest.NewRecorder()
		api.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/health", nil))
		if rec.Code != 200 {
			t.Fatalf("%d %s", rec.Code, rec.Body)
		}
	})
}

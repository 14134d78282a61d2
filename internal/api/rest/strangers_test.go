package rest_test

import (
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/api/rest"
)

// limited lets strangers make so many calls, which never come back while a test runs.
func limited(calls int) func(*rest.Deps, *http.Server) {
	return func(d *rest.Deps, _ *http.Server) {
		d.Gate.Behind(nil, nil)
		d.Gate.LimitStrangers(1, calls, nil, nil)
		d.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Content-Type", "text/plain") })
	}
}

// Whoever says not who it is meets a limit by every operation of the document, and by
// what is not there: for addresses, or for refused credentials.
func TestNothingIsUnlimited(t *testing.T) {
	w := newWorld(t, limited(1000))
	ask := func(route string) (policy, allowance string, status int) {
		method, path, _ := strings.Cut(route, " ")
		got := w.call(method, regexp.MustCompile(`\{[^}]*\}`).ReplaceAllString(path, "x"), "", "X-Api-Key", "")
		return got.header.Get("Ratelimit-Policy"), got.header.Get("Ratelimit"), got.status
	}
	routes := w.server.Config.Handler.(*rest.API).Operations()
	routes["no path"], routes["no method"], routes["another method"] = "GET /nowhere", "BREW /jobs", "OPTIONS /jobs"
	for name, route := range routes {
		want := `"anonymous";q=1;w=60`
		if row := matrix[name]; strings.HasSuffix(row, "| 401") {
			want = `"credentials";q=60;w=60`
		}
		if policy, allowance, status := ask(route); policy != want || !strings.Contains(allowance, ";r=") {
			t.Errorf("%s (%s): %d %s %s", name, route, status, policy, allowance)
		}
	}
}

// Strangers who ask too often are turned away with the time to wait; who has a key is
// served, from the same address.
func TestStrangersAreTurnedAway(t *testing.T) {
	w := newWorld(t, limited(4)) // the first one is the test's own, for the document
	for n, path := range []string{"/health", "/nowhere", "/openapi.json", "/livez", "/metrics", "/startupz", "/nowhere"} {
		got := w.call("GET", path, "", "X-Api-Key", "")
		if n < 3 {
			if got.status == http.StatusTooManyRequests {
				t.Errorf("%s: %d", path, got.status)
			}
			continue
		}
		if p := got.problem(t); p.Code != "HX-GATE-005" || got.status != 429 || got.header.Get("Retry-After") != "60" || !strings.Contains(got.header.Get("Ratelimit"), "r=0;t=60") {
			t.Errorf("%s: %d %+v %v", path, got.status, p, got.header)
		}
	}
	if got := w.call("GET", "/jobs", ""); got.status != 200 {
		t.Errorf("with a key: %d", got.status)
	}
}

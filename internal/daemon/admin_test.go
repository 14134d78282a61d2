package daemon

import (
	"net/http"
	"strings"
	"testing"
)

// TestAdminListener: profiles and metrics for who is on this machine, and not a
// word of it on the port of the API.
func TestAdminListener(t *testing.T) {
	o := newObserved(t, func(c *Config) { c.Admin.Listen = "127.0.0.1:0" })
	admin := "http://" + o.daemon.admin.listener.Addr().String()
	for path, want := range map[string]string{
		"/debug/pprof/": "goroutine", "/debug/pprof/goroutine?debug=1": "goroutine profile:", "/debug/pprof/heap?debug=1": "heap profile:", "/metrics": "hypervisord_build_info",
	} {
		if status, text := o.ask("GET", admin+path, ""); status != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("%s: %d %.100s", path, status, text)
		}
		if path == "/metrics" {
			continue
		}
		if status, _ := o.ask("GET", path, ""); status != http.StatusNotFound {
			t.Errorf("the API answers %s with %d", path, status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, admin+"/debug/pprof/heap", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "rebound.example"
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil || res.StatusCode != http.StatusForbidden {
		t.Errorf("a page of a browser gets %d %v", res.StatusCode, err)
	}
}

func TestAdminAndHealthConfig(t *testing.T) {
	for text, wrong := range map[string]string{
		"admin: {listen: '127.0.0.1:6060'}": "", "admin: {listen: 'localhost:6060'}": "", "admin: {listen: '[::1]:6060'}": "",
		"admin: {listen: '0.0.0.0:6060'}": "admin.listen", "admin: {listen: ':6060'}": "admin.listen", "admin: {listen: '6060'}": "admin.listen",
		"health: {queue_depth: 0}": "health.queue_depth",
	} {
		_, err := Load(write(t, text+"\n"), none, nil)
		if (err == nil) != (wrong == "") || err != nil && !strings.Contains(err.Error(), wrong) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

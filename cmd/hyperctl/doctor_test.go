package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/version"
)

// TestDoctor: each trouble is found and comes with a remedy, on the real API.
func TestDoctor(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	parts := map[string]rest.Check{}
	checks := map[string]rest.HealthCheck{}
	for _, name := range []string{"database", "disk", "provider_vsphere"} {
		checks[name] = func(context.Context) rest.Check { return parts[name] }
	}
	api, err := rest.New(t.Context(), rest.Deps{
		Service: service.New(s, service.Deps{Validator: anything{}, Feed: s, Nodes: s}), Health: checks,
		Gate: gate.New(auth.NewKey(sha256.Sum256([]byte(key)), tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...)), nil),
		Log:  slog.New(slog.DiscardHandler), Version: version.String(),
	})
	must(t, err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	keyFile := filepath.Join(t.TempDir(), "key")
	must(t, os.WriteFile(keyFile, []byte(key), 0o600))
	t.Setenv("HYPERVISORD_API_KEY", "")
	doctor := func(wantCode int, texts ...string) {
		t.Helper()
		var out, errOut bytes.Buffer
		code := run([]string{"--server", server.URL, "--api-key-file", keyFile, "doctor"}, strings.NewReader(""), &out, &errOut)
		if code != wantCode {
			t.Errorf("exit code %d, want %d", code, wantCode)
		}
		for _, text := range texts {
			if !strings.Contains(out.String(), text) {
				t.Errorf("no %q in\n%s%s", text, out.String(), errOut.String())
			}
		}
	}
	well := func() {
		for name := range checks {
			parts[name] = rest.Check{Status: rest.Healthy}
		}
	}
	well()
	doctor(0, "daemon", "clock", "it is accepted", "none lost")
	parts["provider_vsphere"] = rest.Check{Status: rest.Degraded, Message: "the login is refused → check the password"}
	doctor(3, "FAIL", "provider_vsphere: check the password")
	well()
	parts["disk"] = rest.Check{Status: rest.Degraded, Message: "1 GiB free for output → free some space"}
	doctor(0, "warn", "disk: free some space")
	parts["database"] = rest.Check{Status: rest.Unhealthy, Message: "the disk of the state directory is full → free some space there"}
	doctor(3, "database: free some space there")
	well()
	must(t, os.Chmod(keyFile, 0o644))
	doctor(0, "chmod 600 "+keyFile)
	must(t, os.WriteFile(keyFile, []byte("wrong"), 0o600))
	doctor(4, "HX-AUTH-011")
	server.Close()
	doctor(3, "does not answer", "daemon: start hypervisord")
}

func TestDoctorFindings(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for skew, want := range map[time.Duration]string{0: good, 4 * time.Second: good, -4 * time.Second: good, 7 * time.Second: wrong, -time.Hour: wrong} {
		if f := examineClock(now.Add(skew), now, now.Add(time.Second)); f.Result != want || (f.Fix == "") != (want == good) {
			t.Errorf("%s: %+v", skew, f)
		}
	}
	for server, want := range map[string]string{
		"http://127.0.0.1:8080": good, "http://localhost:8080": good, "https://hx.example": good, "unix:///run/hx": good, "http://hx.example:8080": doubt,
	} {
		if f := (&ctl{server: server}).examineWay(); f.Result != want {
			t.Errorf("%s: %+v", server, f)
		}
	}
	if f := examineParts(nil); len(f) != 1 || f[0].Result != doubt || f[0].Fix == "" {
		t.Errorf("%+v", f)
	}
}

func TestDoctorJSON(t *testing.T) {
	_, ctl := daemon(t)
	_, out, _ := ctl("--json", "doctor")
	var found []finding
	if err := json.Unmarshal([]byte(out), &found); err != nil || len(found) < 5 {
		t.Errorf("%s %v", out, err)
	}
}

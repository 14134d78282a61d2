package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/auth/issuertest"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// terminal is what a program writes, to be read meanwhile.
type terminal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (w *terminal) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(p)
}

func (w *terminal) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// signedIn is hyperctl beside a daemon that takes the tokens of a real issuer.
type signedIn struct {
	*testing.T
	issuer *issuertest.Issuer
	url    string
	home   string
}

func newSignedIn(t *testing.T, issuer *issuertest.Issuer, client string) *signedIn {
	t.Helper()
	h := &signedIn{T: t, issuer: issuer, home: t.TempDir()}
	t.Setenv("HYPERVISORD_API_KEY", "")
	t.Setenv("XDG_CONFIG_HOME", h.home)
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	sealer, err := seal.New(make([]byte, 32))
	must(t, err)
	svc := service.New(s, service.Deps{Validator: anything{}, Feed: s, Seal: sealer})
	root := tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...)
	_, err = svc.CreateTenant(t.Context(), root, "acme", service.TenantChange{})
	must(t, err)
	tokens := auth.NewTokens(auth.TokenPolicy{
		Issuer: issuer.URL, Audiences: []string{issuertest.Client, issuertest.Hasty}, Algorithms: []string{"ES256"}, ClockSkew: time.Second,
		Grants: auth.Grants{TenantClaim: "tenant", List: []auth.Grant{{Claim: "groups", Value: "hx-operators", Role: tenant.Operator}}},
	}, auth.NewIssuer(issuer.URL, nil), s, nil)
	api, err := rest.New(t.Context(), rest.Deps{
		Service: svc, Gate: gate.New(auth.NewCredentials(auth.NewRing(auth.NewKey(sha256.Sum256([]byte(key)), root), s, nil), tokens, nil), nil),
		Log: slog.New(slog.DiscardHandler), Version: "test",
		SignIn: rest.SignIn{Methods: []string{"oidc"}, OIDC: &rest.SignInOIDC{
			Issuer: issuer.URL, ClientID: client, Scopes: []string{"openid", "offline_access"}, Token: "id_token",
		}},
	})
	must(t, err)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

func (h *signedIn) ctl(args ...string) (code int, out string) {
	var w terminal
	code = run(append([]string{"--server", h.url}, args...), strings.NewReader(""), &w, &w)
	return code, w.String()
}

func (h *signedIn) want(code int, text string, args ...string) {
	h.Helper()
	if got, out := h.ctl(args...); got != code || !strings.Contains(out, text) {
		h.Fatalf("%v: exit code %d, want %d with %q:\n%s", args, got, code, text, out)
	}
}

var userCode = regexp.MustCompile(`\n  ([A-Z]{4}-[A-Z]{4})\n`)

// login runs hyperctl login, and decide once it shows the code; nil: nobody decides.
func (h *signedIn) login(decide func(code string), args ...string) (code int, out string) {
	h.Helper()
	var w terminal
	done := make(chan int, 1)
	go func() {
		done <- run(append([]string{"--server", h.url, "login"}, args...), strings.NewReader(""), &w, &w)
	}()
	for end := time.Now().Add(time.Minute); decide != nil; time.Sleep(time.Millisecond) {
		if m := userCode.FindStringSubmatch(w.String()); m != nil {
			decide(m[1])
			break
		}
		if time.Now().After(end) {
			h.Fatalf("no code is shown: %s", w.String())
		}
	}
	return <-done, w.String()
}

func (h *signedIn) file() string {
	h.Helper()
	files, err := filepath.Glob(filepath.Join(h.home, "hypersdk", "login-*.json"))
	must(h.T, err)
	if len(files) != 1 {
		h.Fatalf("the login is kept in %v", files)
	}
	return files[0]
}

// kept reads a text that the login holds.
func (h *signedIn) kept(name string) string {
	h.Helper()
	text, err := os.ReadFile(h.file())
	must(h.T, err)
	var all map[string]any
	must(h.T, json.Unmarshal(text, &all))
	v, _ := all[name].(string)
	return v
}

// TestLogin goes through the device grant of a real issuer.
func TestLogin(t *testing.T) {
	h := newSignedIn(t, issuertest.Start(t), issuertest.Client)
	h.want(4, "HX-AUTH-010", "whoami")
	code, out := h.login(func(code string) { h.issuer.Approve(code, issuertest.Alice) })
	if code != 0 || !strings.Contains(out, "oidc:alice@"+h.issuer.URL) || !strings.Contains(out, h.issuer.URL+"/device\n") {
		t.Fatalf("exit code %d: %s", code, out)
	}
	for _, secret := range []string{h.kept("token"), h.kept("refresh_token")} {
		if secret == "" || strings.Contains(out, secret) {
			t.Errorf("%q in %s", secret, out)
		}
	}
	if info, err := os.Stat(h.file()); err != nil || info.Mode().Perm() != 0o600 {
		t.Error(info.Mode(), err)
	}
	h.want(0, "acme", "whoami")
	h.want(0, "PERMISSIONS", "whoami")
	h.want(0, "", "jobs", "submit", "--vm", "/DC/vm/web-01")
	h.want(4, "HX-AUTH-002", "keys", "list")
	t.Setenv("HYPERVISORD_API_KEY", key)
	h.want(0, "key:test", "whoami") // a key goes before the login
	t.Setenv("HYPERVISORD_API_KEY", "")

	must(t, os.Chmod(h.file(), 0o640))
	h.want(2, "HX-CLI-022", "whoami")
	must(t, os.Chmod(h.file(), 0o600))
	refresh := h.kept("refresh_token")
	h.want(0, "logged out", "logout")
	h.want(0, "nobody was logged in", "logout")
	h.want(4, "HX-AUTH-010", "whoami")
	if h.issuer.Renews(issuertest.Client, refresh) {
		t.Error("the issuer still renews what was logged out")
	}

	if code, out := h.login(func(code string) { h.issuer.Deny(code) }); code != 4 || !strings.Contains(out, "HX-CLI-034") {
		t.Errorf("denied: exit code %d: %s", code, out)
	}
	if code, out := h.login(nil, "--client-id", "nobody"); code != 3 || !strings.Contains(out, "HX-CLI-036") {
		t.Errorf("an unknown client: exit code %d: %s", code, out)
	}
	if code, out := h.login(nil, "--issuer", "http://127.0.0.1:1"); code != 5 || !strings.Contains(out, "HX-OIDC-007") {
		t.Errorf("an issuer that is not there: exit code %d: %s", code, out)
	}
	if code, out := h.login(nil, "--server", "http://192.0.2.1:8080"); code != 3 || !strings.Contains(out, "HX-CLI-029") {
		t.Errorf("in clear text: exit code %d: %s", code, out)
	}
	h.want(4, "HX-AUTH-010", "whoami")
}

// TestLoginExpires: a code that nobody enters ends.
func TestLoginExpires(t *testing.T) {
	h := newSignedIn(t, issuertest.StartHasty(t, 2*time.Second), issuertest.Client)
	if code, out := h.login(nil); code != 5 || !strings.Contains(out, "HX-CLI-035") {
		t.Errorf("exit code %d: %s", code, out)
	}
}

// TestLoginRenews: what expires is renewed, by one of several programs at once, and
// not when the issuer does not want to.
func TestLoginRenews(t *testing.T) {
	h := newSignedIn(t, issuertest.Start(t), issuertest.Hasty)
	if code, out := h.login(func(code string) { h.issuer.Approve(code, issuertest.Alice) }); code != 0 {
		t.Fatalf("exit code %d: %s", code, out)
	}
	first := h.kept("refresh_token")
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if code, out := h.ctl("whoami"); code != 0 {
				t.Errorf("exit code %d: %s", code, out)
			}
		})
	}
	all.Wait()
	if h.kept("refresh_token") == first {
		t.Error("nothing was renewed")
	}
	h.issuer.Down()
	h.want(5, "HX-CLI-027", "whoami")
	h.issuer.Up() // it knows nobody any more
	h.want(4, "HX-CLI-026", "whoami")
}

package rest_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"

	"github.com/hypersdk/hypersdk/internal/api/rest"
)

// browser is a page of the daemon: it has the cookie and the token.
type browser struct {
	w      *world
	cookie string // NAME=VALUE
	info   rest.SessionInfo
}

// signIn exchanges a key for a session.
func (w *world) signIn(key string, headers ...string) browser {
	w.t.Helper()
	got := w.call("POST", "/session", "", append([]string{"X-Api-Key", key}, headers...)...)
	if got.status != 201 {
		w.t.Fatalf("%+v", got)
	}
	b := browser{w: w}
	must(w.t, json.Unmarshal([]byte(got.body), &b.info))
	b.cookie, _, _ = strings.Cut(got.header.Get("Set-Cookie"), ";")
	return b
}

// call makes a request as a page of the same origin does.
func (b browser) call(method, path, body string, headers ...string) answer {
	b.w.t.Helper()
	return b.w.call(method, path, body, append([]string{
		"X-Api-Key", "", "Cookie", b.cookie, "X-CSRF-Token", b.info.CSRFToken, "Sec-Fetch-Site", "same-origin", "Origin", b.w.server.URL, "Content-Type", "application/json",
	}, headers...)...)
}

func (w *world) wantCode(got answer, status int, code string) {
	w.t.Helper()
	if got.status != status || got.problem(w.t).Code != code {
		w.t.Errorf("got %d %s, want %d %s", got.status, got.body, status, code)
	}
}

func TestSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	got := w.call("POST", "/session", "")
	c, err := http.ParseSetCookie(got.header.Get("Set-Cookie"))
	must(t, err)
	if c.Name != "hypervisord" || len(c.Value) != 43 || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" || c.Secure || c.MaxAge != 12*3600 {
		t.Errorf("the cookie: %s", got.header.Get("Set-Cookie"))
	}
	if strings.Contains(got.body, c.Value) {
		t.Error("a script can read the session's id")
	}
	b := w.signIn(key)
	if got := b.call("GET", "/session", ""); got.status != 200 || !strings.Contains(got.body, b.info.CSRFToken) || b.info.Principal != "key:test" || b.info.Tenant != "default" || b.info.IdleSeconds != 1800 {
		t.Errorf("%+v", got)
	}
	if got := b.call("POST", "/keys", `{"name":"by-page","role":"viewer"}`); got.status != 201 || !strings.Contains(got.body, `"created_by":"key:test"`) {
		t.Errorf("a change: %+v", got)
	}
	if got := w.call("GET", "/jobs", "", "X-Api-Key", "", "Cookie", b.cookie); got.status != 200 { // an address that was typed
		t.Errorf("a question: %+v", got)
	}
	end := b.call("DELETE", "/session", "")
	if gone, err := http.ParseSetCookie(end.header.Get("Set-Cookie")); end.status != 204 || err != nil || gone.MaxAge >= 0 || gone.Value != "" || gone.Name != c.Name {
		t.Errorf("%+v", end)
	}
	w.wantCode(b.call("GET", "/jobs", ""), 401, "HX-AUTH-030") // whoever has a copy
	w.place()
	if log := strings.Join(w.logOf(root()), " "); strings.Count(log, "session.created") != 2 || strings.Count(log, "session.ended") != 1 || strings.Contains(log, c.Value) {
		t.Error(log)
	}
}

// A session ends by itself, and with its key.
func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.tenant("acme", "admin")
	idle, used := w.signIn(o.secret), w.signIn(o.secret)
	for range 24 {
		w.later += 29 * time.Minute
		if got := used.call("GET", "/session", ""); got.status != 200 {
			t.Fatalf("after %s: %+v", w.later, got)
		}
	}
	w.wantCode(idle.call("GET", "/session", ""), 401, "HX-AUTH-030")
	w.later = 12 * time.Hour
	w.wantCode(used.call("GET", "/session", ""), 401, "HX-AUTH-030")
	w.later = 0

	made := w.call("POST", "/keys", `{"name":"page","role":"viewer"}`, "X-Api-Key", o.secret, "Content-Type", "application/json")
	var of struct {
		Secret string `json:"secret"`
		Key    struct {
			ID string `json:"id"`
		} `json:"key"`
	}
	must(t, json.Unmarshal([]byte(made.body), &of))
	b := w.signIn(of.Secret)
	if got := b.call("POST", "/keys", `{"name":"more","role":"admin"}`); got.status != 403 {
		t.Errorf("a viewer's page: %+v", got)
	}
	w.call("DELETE", "/keys/"+of.Key.ID, "", "X-Api-Key", o.secret)
	w.wantCode(b.call("GET", "/jobs", ""), 401, "HX-AUTH-013")
	left := w.signIn(o.secret)
	w.call("DELETE", "/tenants/acme", "")
	if got := left.call("GET", "/jobs", ""); got.status != 401 {
		t.Errorf("of a deleted tenant: %+v", got)
	}
}

// What a stranger's page, or who found a cookie, may try.
func TestSessionAbuse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signIn(key)
	other := w.signIn(key)
	change := func(headers ...string) answer {
		return b.call("POST", "/tenants", `{"id":"evil"}`, headers...)
	}
	for name, c := range map[string]struct {
		headers []string
		code    string
	}{
		"no token":                 {[]string{"X-CSRF-Token", ""}, "HX-AUTH-033"},
		"another session's token":  {[]string{"X-CSRF-Token", other.info.CSRFToken}, "HX-AUTH-033"},
		"the cookie as the token":  {[]string{"X-CSRF-Token", strings.TrimPrefix(b.cookie, "hypervisord=")}, "HX-AUTH-033"},
		"another site":             {[]string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, "HX-API-012"},
		"another port":             {[]string{"Sec-Fetch-Site", "same-site", "Origin", "http://127.0.0.1:1"}, "HX-API-012"},
		"an old browser elsewhere": {[]string{"Sec-Fetch-Site", "", "Origin", "http://evil.example"}, "HX-API-012"},
		"no origin at all":         {[]string{"Sec-Fetch-Site", "", "Origin", "null"}, "HX-API-012"},
		"the same host by TLS":     {[]string{"Sec-Fetch-Site", "", "Origin", strings.Replace(w.server.URL, "http:", "https:", 1)}, "HX-AUTH-031"},
	} {
		if got := change(c.headers...); got.status != 403 || got.problem(t).Code != c.code {
			t.Errorf("%s: %+v", name, got)
		}
	}
	w.wantCode(b.call("GET", "/jobs", "", "Sec-Fetch-Site", "cross-site"), 403, "HX-AUTH-031")
	w.wantCode(change("Cookie", "hypervisord="+strings.Repeat("A", 43)), 401, "HX-AUTH-030")
	w.wantCode(change("Cookie", "__Host-hypervisord="+strings.TrimPrefix(b.cookie, "hypervisord=")), 401, "HX-AUTH-010") // it belongs to TLS
	w.wantCode(change("X-Api-Key", "hvk_WRONGWRONGWRONGWRONGWRONG"), 401, "HX-AUTH-011")                                 // the session does not help a wrong key
	w.wantCode(b.call("POST", "/session", ""), 422, "HX-AUTH-034")                                                       // a session makes no session

	// Fixation: who signs in with a cookie that somebody planted gets another.
	planted := "hypervisord=" + strings.Repeat("B", 43)
	if fixed := w.signIn(key, "Cookie", planted); fixed.cookie == planted {
		t.Error("a planted cookie is taken")
	}
	w.wantCode(b.call("GET", "/jobs", "", "Cookie", planted), 401, "HX-AUTH-030")
	next := w.signIn(key, "Cookie", b.cookie)
	w.wantCode(b.call("GET", "/jobs", ""), 401, "HX-AUTH-030") // its successor has signed in
	if got := next.call("GET", "/jobs", ""); got.status != 200 {
		t.Errorf("%+v", got)
	}

	// One key has so many sessions: the oldest goes.
	first := w.signIn(key)
	w.later = time.Minute
	for range 50 {
		w.signIn(key)
	}
	w.wantCode(first.call("GET", "/jobs", ""), 401, "HX-AUTH-030")
}

// A WebSocket by a session is for pages of this origin.
func TestSessionSocket(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.signIn(key)
	for origin, want := range map[string]int{w.server.URL: 101, "http://evil.example": 403, "http://127.0.0.1:1": 403, "null": 403, "": 403} {
		headers := []string{"Cookie", b.cookie, "X-Api-Key", ""}
		if origin != "" {
			headers = append(headers, "Origin", origin)
		}
		conn, res, err := w.dial("", headers...)
		if err == nil {
			_ = conn.Close(websocket.StatusNormalClosure, "")
		}
		if res == nil || res.StatusCode != want {
			t.Errorf("%q: %v %v", origin, res, err)
		}
	}
}

// What is no page loads nothing, whatever it holds.
func TestSecurityHeaders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, path := range []string{"/jobs", "/nowhere", "/openapi.json", "/session", "/livez"} {
		h := w.call("GET", path, "").header
		for name, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
			"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "Strict-Transport-Security": "",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s: %q", path, name, got)
			}
		}
	}
}

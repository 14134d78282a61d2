package daemon

import (
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"net/http/cookiejar"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// page is a browser that shows a page of the daemon.
type page struct {
	*observed
	browser *http.Client
	token   string
}

// do makes a request as the page does; header is pairs, and wins.
func (p *page) do(method, path, body string, header ...string) (*http.Response, string) {
	p.Helper()
	r, err := http.NewRequestWithContext(p.Context(), method, p.daemon.URL()+path, strings.NewReader(body))
	if err != nil {
		p.Fatal(err)
	}
	all := append([]string{"Content-Type", "application/json", "Origin", p.daemon.URL(), "X-Csrf-Token", p.token}, header...)
	for i := 0; i < len(all); i += 2 {
		r.Header.Set(all[i], all[i+1])
	}
	res, err := p.browser.Do(r)
	if err != nil {
		p.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode == http.StatusSwitchingProtocols {
		return res, ""
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		p.Fatal(err)
	}
	return res, string(text)
}

func (p *page) want(status int, method, path, body string, header ...string) string {
	p.Helper()
	res, text := p.do(method, path, body, header...)
	if res.StatusCode != status {
		p.Errorf("%s %s %q: %d, want %d: %s", method, path, header, res.StatusCode, status, text)
	}
	return text
}

// TestSessionOfABrowser signs a browser in, by TLS and without: it works by all doors
// for pages of this daemon only, and over a restart, until it signs out.
func TestSessionOfABrowser(t *testing.T) {
	t.Parallel()
	for scheme, cookie := range map[string]string{"http": "hypervisord", "https": "__Host-hypervisord"} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			o := newObserved(t, func(c *Config) {
				c.Auth.Disabled = false
				c.Auth.KeyFile = filepath.Join(dir, "api.key")
				if scheme == "https" {
					c.TLS.CertFile, c.TLS.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
					issue(t, c.TLS, 1)
				}
			})
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
			t.Cleanup(transport.CloseIdleConnections)
			p := &page{observed: o, browser: &http.Client{Jar: jar, Transport: transport}}
			text, err := os.ReadFile(o.cfg.Auth.KeyFile)
			if err != nil {
				t.Fatal(err)
			}
			res, body := p.do("POST", "/session", "", "Authorization", "Bearer "+strings.TrimSpace(string(text)))
			var info struct {
				Token string `json:"csrf_token"`
			}
			if err := json.Unmarshal([]byte(body), &info); err != nil || res.StatusCode != http.StatusCreated || len(res.Cookies()) != 1 {
				t.Fatal(res.Status, body, err)
			}
			c := res.Cookies()[0]
			if c.Name != cookie || c.Secure != (scheme == "https") || !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" || c.Domain != "" {
				t.Errorf("the cookie is %s", res.Header.Get("Set-Cookie"))
			}
			if hsts := res.Header.Get("Strict-Transport-Security"); (hsts != "") != (scheme == "https") {
				t.Errorf("HSTS: %q", hsts)
			}
			p.token = info.Token
			p.everyDoor()
			o.stop()
			o.start()
			p.want(http.StatusOK, "GET", "/session", "")
			p.want(http.StatusNoContent, "DELETE", "/session", "")
			p.want(http.StatusUnauthorized, "GET", "/jobs", "")
			p.want(http.StatusUnauthorized, "GET", "/jobs", "", "Cookie", c.Name+"="+c.Value) // whoever copied it
		})
	}
}

// everyDoor makes a change, and opens a WebSocket, as the page and as a stranger's.
func (p *page) everyDoor() {
	p.Helper()
	mutation := `{"query":"mutation{pauseTenant(id:\"default\"){paused}}"}`
	if text := p.want(http.StatusOK, "POST", "/graphql", mutation); !strings.Contains(text, `"paused":true`) {
		p.Error(text)
	}
	p.want(http.StatusForbidden, "POST", "/graphql", mutation, "X-Csrf-Token", "")
	p.want(http.StatusForbidden, "POST", "/graphql", `{"query":"subscription{events{seq}}"}`, "X-Csrf-Token", "", "Accept", "text/event-stream")
	p.want(http.StatusOK, "POST", "/tenants/default/resume", "")
	p.want(http.StatusForbidden, "POST", "/tenants/default/resume", "", "X-Csrf-Token", "")
	p.want(http.StatusOK, "POST", "/hypervisord.v1.HypervisordService/GetStatus", "{}")
	p.want(http.StatusForbidden, "POST", "/hypervisord.v1.HypervisordService/GetStatus", "{}", "X-Csrf-Token", "")
	for _, at := range []string{"/ws", "/graphql"} {
		upgrade := []string{
			"Connection", "Upgrade", "Upgrade", "websocket", "Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
			"Sec-WebSocket-Protocol", "graphql-transport-ws",
		}
		p.want(http.StatusSwitchingProtocols, "GET", at, "", upgrade...)
		p.want(http.StatusForbidden, "GET", at, "", append(upgrade, "Origin", "https://evil.example")...)
		p.want(http.StatusForbidden, "GET", at, "", append(upgrade, "Origin", "http://127.0.0.1:1")...)
	}
	res, _ := p.do("GET", "/docs/", "")
	if csp := res.Header.Get("Content-Security-Policy"); res.StatusCode != http.StatusOK || !strings.Contains(csp, "script-src 'self';") || !strings.Contains(csp, "frame-ancestors 'none'") {
		p.Errorf("a page: %s %q", res.Status, csp)
	}
}

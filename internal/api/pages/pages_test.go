package pages_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/api/pages"
)

// get asks as a browser does, or as a program without compression.
func get(t *testing.T, h http.Handler, path string, packed bool) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
	if packed {
		r.Header.Set("Accept-Encoding", "gzip, br")
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body := io.Reader(res.Body)
	if packed && res.StatusCode == http.StatusOK {
		z, err := gzip.NewReader(body)
		if err != nil {
			t.Fatal(path, err)
		}
		body = z
	}
	text, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(path, err)
	}
	return res, string(text)
}

var (
	refers = regexp.MustCompile(`(?:src|href)="([^"]+)"`)
	inline = regexp.MustCompile(`(?i)<script>|<script [^>]*>[^<]|<style|\son\w+=|javascript:`)
	remote = regexp.MustCompile(`@import|url\(["']?(?:https?:)?//|<link[^>]+//`)
)

// What a page names is here, and its policy lets nothing else in.
func TestPagesAreWhole(t *testing.T) {
	t.Parallel()
	h, err := pages.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range []string{"/docs/", "/docs/openapi", "/docs/explorer"} {
		res, text := get(t, h, page, true)
		if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
			t.Fatal(page, res.Status, res.Header)
		}
		if inline.MatchString(text) {
			t.Errorf("%s: the policy forbids %q", page, inline.FindString(text))
		}
		for _, m := range refers.FindAllStringSubmatch(text, -1) {
			name := m[1]
			switch {
			case name == "data:,", name == "../openapi.json", name == "./":
				continue
			case strings.Contains(name, ":"), strings.HasPrefix(name, "/"):
				t.Errorf("%s refers to %s", page, name)
				continue
			}
			asset, content := get(t, h, "/docs/"+name, true)
			if asset.StatusCode != http.StatusOK || len(content) < 50 || asset.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s: %s is not there: %s", page, name, asset.Status)
			}
			if ct := asset.Header.Get("Content-Type"); strings.HasSuffix(name, ".js") && !strings.HasPrefix(ct, "text/javascript") || strings.HasSuffix(name, ".css") && !strings.HasPrefix(ct, "text/css") {
				t.Errorf("%s is %s", name, ct)
			}
			if strings.HasSuffix(name, ".css") && remote.MatchString(content) {
				t.Errorf("%s loads %q", name, remote.FindString(content))
			}
		}
	}
}

func TestPolicy(t *testing.T) {
	t.Parallel()
	h, err := pages.New()
	if err != nil {
		t.Fatal(err)
	}
	res, packed := get(t, h, "/docs/explorer", true)
	csp := res.Header.Get("Content-Security-Policy")
	for directive := range strings.SplitSeq(csp, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(directive), " ")
		want := map[string]string{
			"default-src": "'none'", "script-src": "'self'", "style-src": "'self' 'unsafe-inline'", "img-src": "'self' data:", "font-src": "'self' data:",
			"connect-src": "'self'", "base-uri": "'none'", "form-action": "'none'", "frame-ancestors": "'none'",
		}[name]
		if value != want {
			t.Errorf("%s %s, want %s", name, value, want)
		}
	}
	if strings.Count(csp, ";") != 8 {
		t.Errorf("not all: %s", csp)
	}
	if _, plain := get(t, h, "/docs/explorer", false); plain != packed {
		t.Error("another page without compression")
	}
	for _, path := range []string{"/docs/x", "/docs/../pages.go", "/docs/vendored/react.js", "/docs/README.md"} {
		if res, _ := get(t, h, path, false); res.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	for _, licence := range []string{"swagger-ui.LICENSE", "swagger-ui.NOTICE", "graphiql.LICENSE", "react.LICENSE", "react-dom.LICENSE"} {
		if res, _ := get(t, h, "/docs/"+licence, false); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", licence, res.Status)
		}
	}
}

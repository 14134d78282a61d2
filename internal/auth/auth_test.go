package auth_test

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const key = "hvk_0123456789ABCDEFGHIJKLMNOP"

func operator() tenant.Principal {
	return tenant.NewPrincipal(tenant.Default, "key:default", tenant.All()...)
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/jobs", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func TestKey(t *testing.T) {
	k := auth.NewKey(sha256.Sum256([]byte(key)), operator())
	for name, c := range map[string]struct {
		headers []string
		code    string
	}{
		"bearer":            {[]string{"Authorization", "Bearer " + key}, ""},
		"any case, spaces":  {[]string{"Authorization", "bearer  " + key + " "}, ""},
		"api key":           {[]string{"X-API-Key", key}, ""},
		"none":              {nil, "HX-AUTH-010"},
		"empty":             {[]string{"X-API-Key", ""}, "HX-AUTH-010"},
		"basic":             {[]string{"Authorization", "Basic " + key}, "HX-AUTH-010"},
		"wrong":             {[]string{"X-API-Key", key + "x"}, "HX-AUTH-011"},
		"prefix":            {[]string{"X-API-Key", key[:20]}, "HX-AUTH-011"},
		"other case":        {[]string{"X-API-Key", strings.ToLower(key)}, "HX-AUTH-011"},
		"the digest itself": {[]string{"X-API-Key", hexDigest(key)}, "HX-AUTH-011"},
		"bearer wins":       {[]string{"Authorization", "Bearer x", "X-API-Key", key}, "HX-AUTH-011"},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := k.Authenticate(request(c.headers...))
			if c.code != "" {
				if !fault.Is(err, fault.Unauthenticated) || fault.As(err).Code != c.code {
					t.Fatalf("got %v", err)
				}
				if _, err := p.Scope(tenant.JobRead); err == nil {
					t.Fatal("an unknown caller got a scope")
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if s, err := p.Scope(tenant.JobSubmit); err != nil || s.Actor() != "key:default" {
				t.Fatalf("%v %v", s, err)
			}
		})
	}
}

func TestLoopbackInsistsOnTheName(t *testing.T) {
	l := auth.NewLoopback(operator())
	for host, want := range map[string]bool{
		"127.0.0.1:8080": true, "127.9.9.9": true, "localhost:80": true, "LOCALHOST": true, "hx.localhost:1": true,
		"[::1]:8080": true, "::1": true, "[::ffff:127.0.0.1]:80": true,
		"evil.example:8080": false, "127.0.0.1.evil.example": false, "localhost.evil.example": false,
		"10.0.0.1": false, "0.0.0.0": false, "": false, "2130706433": false,
	} {
		r := request()
		r.Host = host
		if _, err := l.Authenticate(r); (err == nil) != want {
			t.Errorf("%q: %v", host, err)
		}
	}
}

func TestKeyFileIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state", "api.key")
	first, created, err := auth.LoadKey(path)
	if err != nil || !created {
		t.Fatal(created, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode(), err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	made := strings.TrimSpace(string(text))
	if !strings.HasPrefix(made, "hvk_") || sha256.Sum256([]byte(made)) != first {
		t.Fatalf("the file holds %q", text)
	}
	again, created, err := auth.LoadKey(path)
	if err != nil || created || again != first {
		t.Fatal(created, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".key-*")); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestKeyFileRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.key")
	digests := make([]auth.Digest, 8)
	var all sync.WaitGroup
	for i := range digests {
		all.Go(func() {
			d, _, err := auth.LoadKey(path)
			if err != nil {
				t.Error(err)
			}
			digests[i] = d
		})
	}
	all.Wait()
	for _, d := range digests {
		if d != digests[0] {
			t.Fatal("two keys were made")
		}
	}
}

func TestKeyFileRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		mode os.FileMode
		code string
	}{
		"open to all":     {key, 0o644, "HX-AUTH-022"},
		"open to a group": {key, 0o640, "HX-AUTH-022"},
		"empty":           {"", 0o600, "HX-AUTH-024"},
		"short":           {"secret", 0o600, "HX-AUTH-024"},
		"two lines":       {key + "\n" + key, 0o600, "HX-AUTH-024"},
		"short digest":    {"sha256:abcd", 0o600, "HX-AUTH-023"},
		"no hex":          {"sha256:" + strings.Repeat("z", 64), 0o600, "HX-AUTH-023"},
		"long digest":     {"sha256:" + strings.Repeat("a", 66), 0o600, "HX-AUTH-023"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "api.key")
			if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, c.mode); err != nil {
				t.Fatal(err)
			}
			_, _, err := auth.LoadKey(path)
			if !fault.Is(err, fault.Invalid) || fault.As(err).Code != c.code {
				t.Fatalf("got %v", err)
			}
			if c.text != "" && strings.Contains(fault.Detail(err), c.text) {
				t.Fatal("the error shows the key")
			}
		})
	}
}

func TestKeyFileWithDigest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "api.key")
	if err := os.WriteFile(path, []byte("sha256:"+hexDigest(key)+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, created, err := auth.LoadKey(path)
	if err != nil || created || d != sha256.Sum256([]byte(key)) {
		t.Fatal(d, created, err)
	}
}

func hexDigest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

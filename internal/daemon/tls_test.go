package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/console"
)

// issue writes a certificate of its own for 127.0.0.1.
func issue(t *testing.T, files TLSConfig, serial int64) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	form := &x509.Certificate{SerialNumber: big.NewInt(serial), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, form, form, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Dir(files.CertFile), filepath.Base(files.CertFile), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})))
	put(t, filepath.Dir(files.KeyFile), filepath.Base(files.KeyFile), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})))
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Listen, cfg.ProfilesDir = filepath.Join(dir, "state"), "127.0.0.1:0", filepath.Join(dir, "none")
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	cfg.Security.RateLimit.PerEndpoint = map[string]int{"/jobs/query": 5}
	cfg.Security.RateLimit.Burst = 2
	cfg.complete()
	issue(t, cfg.TLS, 1)
	d, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()

	c, err := console.Connect(d.URL(), cfg.Auth.KeyFile, cfg.TLS.CertFile)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Fatal("the client does not trust the CA that it was given: ", err)
	}
	stranger, err := console.Connect(d.URL(), cfg.Auth.KeyFile, "")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := stranger.Status(short); err == nil {
		t.Fatal("a certificate of nobody is trusted")
	}

	shake := func(form *tls.Config) (*tls.Conn, error) {
		form.InsecureSkipVerify = true
		conn, err := (&tls.Dialer{Config: form}).DialContext(t.Context(), "tcp", d.Addr().String())
		if err != nil {
			return nil, err
		}
		return conn.(*tls.Conn), nil
	}
	old, err := shake(&tls.Config{NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = old.Close() }()
	for want, offer := range map[string][]string{"h2": {"h2", "http/1.1"}, "http/1.1": {"http/1.1"}} {
		conn, err := shake(&tls.Config{NextProtos: offer})
		if err != nil {
			t.Fatal(err)
		}
		if s := conn.ConnectionState(); s.NegotiatedProtocol != want || s.Version != tls.VersionTLS13 {
			t.Errorf("%v: %q, %s", offer, s.NegotiatedProtocol, tls.VersionName(s.Version))
		}
		_ = conn.Close()
	}
	if _, err := shake(&tls.Config{MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 is spoken")
	}

	serial := func() int64 {
		conn, err := shake(&tls.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	put(t, dir, "tls.crt", "half a certif")
	d.certificate.Reload()
	if n := serial(); n != 1 {
		t.Fatalf("a broken file gave %d", n)
	}
	issue(t, cfg.TLS, 2)
	d.certificate.Reload()
	if n := serial(); n != 2 {
		t.Fatalf("still %d", n)
	}
	issue(t, cfg.TLS, 3)
	for deadline := time.Now().Add(30 * time.Second); serial() != 3; {
		if time.Now().After(deadline) {
			t.Fatal("a changed certificate is not seen without a signal")
		}
	}
	if _, err := old.Write([]byte("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
		t.Fatal("the reload dropped a connection: ", err)
	}
	answer := make([]byte, 12)
	if _, err := old.Read(answer); err != nil || string(answer) != "HTTP/1.1 200" {
		t.Fatalf("%q %v", answer, err)
	}
	limited(t, d, cfg)
}

// limited: the limit of an endpoint is the one that the configuration names.
func limited(t *testing.T, d *Daemon, cfg Config) {
	t.Helper()
	key, err := os.ReadFile(cfg.Auth.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(path, body string) *http.Response {
		web := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		defer web.CloseIdleConnections()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.URL()+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Api-Key", strings.TrimSpace(string(key)))
		req.Header.Set("Content-Type", "application/json")
		res, err := web.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		return res
	}
	for _, left := range []string{"1", "0"} {
		res := ask("/jobs/query", `{}`)
		if h := res.Header; res.StatusCode != 200 || h.Get("Ratelimit-Policy") != `"/jobs/query";q=5;w=60` || !strings.HasPrefix(h.Get("Ratelimit"), `"/jobs/query";r=`+left+";t=") {
			t.Errorf("%d %v", res.StatusCode, h)
		}
	}
	if res := ask("/jobs/query", `{}`); res.StatusCode != 429 || res.Header.Get("Retry-After") != "12" {
		t.Errorf("%d, Retry-After %q", res.StatusCode, res.Header.Get("Retry-After"))
	}
}

func TestPlainHTTPStaysAtHome(t *testing.T) {
	t.Parallel()
	for listen, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, "0.0.0.0:1": false, ":1": false, "192.0.2.1:1": false, "host.example:1": false} {
		_, err := Load(write(t, "listen: '"+listen+"'\n"), none, nil)
		if got := err == nil; got != want {
			t.Errorf("%s: %v", listen, err)
		}
		if _, err := Load(write(t, "listen: '"+listen+"'\ntls: {allow_plaintext: true}\n"), none, nil); err != nil {
			t.Errorf("%s, allowed: %v", listen, err)
		}
	}
	for text, want := range map[string]string{
		"tls: {cert_file: /x}":                                             "go together",
		"tls: {min_version: '1.1'}":                                        "tls.min_version",
		"security: {trusted_proxies: [10.0.0.1]}":                          "trusted_proxies",
		"security: {rate_limit: {burst: 0}}":                               "burst",
		"security: {rate_limit: {requests_per_minute: -1}}":                "requests_per_minute",
		"security: {rate_limit: {per_endpoint: {/jobs/submit: 0}}}":        "per_endpoint",
		"security: {rate_limit: {per_endpoint: {/jobs/submit: 99999999}}}": "per_endpoint",
	} {
		if _, err := Load(write(t, text), none, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

package auth_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// odd is an issuer that publishes what a test wants: what a real one does not do.
type odd struct {
	*httptest.Server

	document func(url string) string // nil: a good one
	keys     func(w http.ResponseWriter)
}

func newOdd(t *testing.T, keys ...any) *odd {
	t.Helper()
	o := &odd{}
	var set jose.JSONWebKeySet
	for i, k := range keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k, KeyID: fmt.Sprint("k", i)})
	}
	o.keys = func(w http.ResponseWriter) { _ = json.NewEncoder(w).Encode(set) }
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/keys":
			o.keys(w)
		case o.document != nil:
			_, _ = io.WriteString(w, o.document(o.URL))
		default:
			_, _ = fmt.Fprintf(w, `{"issuer": %q, "jwks_uri": %q}`, o.URL, o.URL+"/keys")
		}
	}))
	o.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	o.StartTLS()
	t.Cleanup(o.Close)
	return o
}

func (o *odd) tokens(trusted bool) *auth.Tokens {
	config := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: x509.NewCertPool()}
	if trusted {
		config.RootCAs.AddCert(o.Certificate())
	}
	return auth.NewTokens(auth.TokenPolicy{
		Issuer: o.URL, Audiences: []string{"us"}, Algorithms: auth.SignatureAlgorithms(),
		Grants: auth.Grants{List: []auth.Grant{{Tenant: "acme", Role: tenant.Viewer}}},
	}, auth.NewIssuer(o.URL, config), accounts{"acme"}, nil)
}

func (o *odd) claims() map[string]any {
	return map[string]any{"iss": o.URL, "aud": "us", "sub": "a", "exp": time.Now().Add(time.Minute).Unix()}
}

// TestAlgorithms: each kind of key verifies its own algorithms and no other, and weak
// and secret keys none.
func TestAlgorithms(t *testing.T) {
	t.Parallel()
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	must(t, err)
	p256, p384 := newKey(t), must1(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	secret := []byte(strings.Repeat("s", 64))
	o := newOdd(t, rsaKey.Public(), weak.Public(), p256.Public(), p384.Public(), ed.Public(), secret)
	tokens := o.tokens(true)
	const good, bad = "acme", "unauthenticated HX-OIDC-00"
	for name, c := range map[string]struct {
		alg  jose.SignatureAlgorithm
		key  any
		kid  string
		want string
	}{
		"RS256":                     {jose.RS256, rsaKey, "k0", good},
		"PS512":                     {jose.PS512, rsaKey, "k0", good},
		"RS256 without a kid":       {jose.RS256, rsaKey, "", good},
		"ES256":                     {jose.ES256, p256, "k2", good},
		"ES384":                     {jose.ES384, p384, "k3", good},
		"EdDSA":                     {jose.EdDSA, ed, "k4", good},
		"RS256, too weak":           {jose.RS256, weak, "k1", bad},
		"ES256, the other's id":     {jose.ES256, p256, "k3", bad},
		"HS256 by a published key":  {jose.HS256, secret, "k5", bad},
		"HS256 by the name of RS":   {jose.HS256, secret, "k0", bad},
		"EdDSA, the id of an ECDSA": {jose.EdDSA, ed, "k2", bad},
	} {
		header := map[string]any{"kid": c.kid}
		if c.kid == "" {
			header = nil
		}
		if got := word(t, tokens, forged(t, c.alg, c.key, header, o.claims())); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func must1[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T { t.Helper(); must(t, err); return v }
}

// TestOddIssuers: who is not whom we ask, or answers out of the way, gives no keys.
func TestOddIssuers(t *testing.T) {
	t.Parallel()
	key := newKey(t)
	const nobodyKnows = "unavailable HX-OIDC-008"
	document := func(format string) func(o *odd) {
		return func(o *odd) {
			o.document = func(url string) string { return strings.ReplaceAll(format, "URL", url) }
		}
	}
	for name, c := range map[string]struct {
		edit func(o *odd)
		want string
	}{
		"a good one":            {func(*odd) {}, "acme"},
		"another's name":        {document(`{"issuer":"https://evil.example","jwks_uri":"URL/keys"}`), nobodyKnows},
		"the name with a slash": {document(`{"issuer":"URL/","jwks_uri":"URL/keys"}`), nobodyKnows},
		"keys in clear text":    {document(`{"issuer":"URL","jwks_uri":"http://192.0.2.1/keys"}`), nobodyKnows},
		"keys in a file":        {document(`{"issuer":"URL","jwks_uri":"file:///etc/passwd"}`), nobodyKnows},
		"no place for keys":     {document(`{"issuer":"URL"}`), nobodyKnows},
		"no JSON":               {document(`<html>`), nobodyKnows},
		"keys elsewhere, by a redirect": {func(o *odd) {
			o.keys = func(w http.ResponseWriter) { w.Header().Set("Location", "/moved"); w.WriteHeader(http.StatusFound) }
		}, nobodyKnows},
		"an endless list of keys": {func(o *odd) {
			o.keys = func(w http.ResponseWriter) {
				_, _ = io.WriteString(w, `{"keys":[`)
				for _, err := io.WriteString(w, `{"kty":"EC"},`); err == nil; _, err = io.WriteString(w, strings.Repeat(`{"kty":"EC"},`, 1000)) {
				}
			}
		}, nobodyKnows},
		"no keys": {func(o *odd) { o.keys = func(w http.ResponseWriter) { _, _ = io.WriteString(w, `{}`) } }, "unauthenticated HX-OIDC-002"},
	} {
		o := newOdd(t, key.Public())
		c.edit(o)
		if got := word(t, o.tokens(true), forged(t, jose.ES256, key, map[string]any{"kid": "k0"}, o.claims())); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	o := newOdd(t, key.Public())
	if got := word(t, o.tokens(false), forged(t, jose.ES256, key, nil, o.claims())); got != nobodyKnows {
		t.Errorf("a CA that is not trusted: %s", got)
	}
}

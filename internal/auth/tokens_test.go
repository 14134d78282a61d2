package auth_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/auth/issuertest"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// accounts are the tenants that there are.
type accounts []tenant.ID

func (a accounts) Tenant(_ context.Context, s tenant.Scope) (tenant.Account, error) {
	if !slices.Contains(a, s.Tenant()) {
		return tenant.Account{}, tenant.NotFound(s.Tenant())
	}
	return tenant.Account{ID: s.Tenant()}, nil
}

// clock is one that a test moves.
type clock struct {
	mu    sync.Mutex
	ahead time.Duration
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

func policy(i *issuertest.Issuer) auth.TokenPolicy {
	return auth.TokenPolicy{
		Issuer: i.URL, Audiences: []string{"other", issuertest.Client}, Algorithms: []string{"RS256", "ES256"}, ClockSkew: 30 * time.Second,
		Grants: auth.Grants{TenantClaim: "tenant", List: []auth.Grant{
			{Claim: "groups", Value: "hx-platform", Tenant: tenant.Default, Role: tenant.Platform},
			{Claim: "realm_access.roles", Value: "ops", Role: tenant.Admin},
			{Claim: "groups", Value: "hx-operators", Role: tenant.Operator},
			{Claim: "groups", Value: "staff", Role: tenant.Viewer},
		}},
	}
}

func newTokens(i *issuertest.Issuer, c *clock) *auth.Tokens {
	return auth.NewTokens(policy(i), auth.NewIssuer(i.URL, nil), accounts{"acme", tenant.Default}, c.now)
}

// word is who a token signs in, or the code of the refusal.
func word(t *testing.T, tokens *auth.Tokens, text string) string {
	t.Helper()
	p, err := tokens.Authenticate(t.Context(), text)
	if err != nil {
		if _, granted := p.Scope(tenant.JobRead); granted == nil {
			t.Error("who is refused got a scope")
		}
		if strings.Contains(fault.Detail(err), text) {
			t.Error("the error shows the token")
		}
		return fault.KindOf(err).String() + " " + fault.As(err).Code
	}
	return fmt.Sprintf("%s %s %d", p.Tenant(), p.Name(), len(p.Permissions()))
}

// TestTokens takes what a real issuer gave.
func TestTokens(t *testing.T) {
	t.Parallel()
	i := issuertest.Start(t)
	tokens := newTokens(i, &clock{})
	at := "@" + i.URL
	for account, want := range map[string]string{
		issuertest.Alice:   fmt.Sprint("acme oidc:alice", at, " ", len(tenant.Admin.Permissions())),
		issuertest.Bob:     fmt.Sprint("acme oidc:bob", at, " ", len(tenant.Viewer.Permissions())),
		issuertest.Root:    fmt.Sprint("default oidc:root", at, " ", len(tenant.Platform.Permissions())),
		issuertest.Mallory: "denied HX-OIDC-005",
		issuertest.Lost:    "not_found HX-TENANT-001",
	} {
		id, access := i.Tokens(account)
		for kind, text := range map[string]string{"ID": id, "access": access} {
			if got := word(t, tokens, text); got != want {
				t.Errorf("the %s token of %s: %s, want %s", kind, account, got, want)
			}
		}
	}
	if n := i.Fetches(); n != 1 {
		t.Errorf("the keys were fetched %d times", n)
	}
}

// forged signs claims with a key that is not the issuer's.
func forged(t *testing.T, alg jose.SignatureAlgorithm, key any, header, claims map[string]any) string {
	t.Helper()
	o := &jose.SignerOptions{}
	for name, v := range header {
		o.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func with(claims map[string]any, name string, v any) map[string]any {
	if v == nil {
		delete(claims, name)
	} else {
		claims[name] = v
	}
	return claims
}

// TestTokensRefused: claims that the issuer signed, but that are not for us, not for
// today, or of nobody; and claims that somebody else signed.
func TestTokensRefused(t *testing.T) {
	t.Parallel()
	i := issuertest.Start(t)
	tokens := newTokens(i, &clock{})
	good := fmt.Sprint("acme oidc:alice@", i.URL, " ", len(tenant.Operator.Permissions()))
	now := time.Now().Unix()
	for name, c := range map[string]struct {
		claim string
		v     any
		want  string
	}{
		"good":              {"x", "y", good},
		"one audience":      {"aud", issuertest.Client, good},
		"within the skew":   {"exp", now - 20, good},
		"nbf in the skew":   {"nbf", now + 20, good},
		"another issuer":    {"iss", "https://evil.example", "unauthenticated HX-OIDC-003"},
		"no issuer":         {"iss", nil, "unauthenticated HX-OIDC-003"},
		"another audience":  {"aud", "somebody", "unauthenticated HX-OIDC-003"},
		"no audience":       {"aud", nil, "unauthenticated HX-OIDC-003"},
		"expired":           {"exp", now - 40, "unauthenticated HX-OIDC-004"},
		"for ever":          {"exp", nil, "unauthenticated HX-OIDC-001"},
		"not yet":           {"nbf", now + 60, "unauthenticated HX-OIDC-004"},
		"of the future":     {"iat", now + 60, "unauthenticated HX-OIDC-004"},
		"nobody":            {"sub", nil, "unauthenticated HX-OIDC-001"},
		"a terminal's sub":  {"sub", "a\x1b[2J", "unauthenticated HX-OIDC-001"},
		"a long sub":        {"sub", strings.Repeat("a", 256), "unauthenticated HX-OIDC-001"},
		"no group":          {"groups", nil, "denied HX-OIDC-005"},
		"a group of groups": {"groups", []any{[]string{"hx-operators"}}, "denied HX-OIDC-005"},
		"a number":          {"groups", 1, "denied HX-OIDC-005"},
		"no tenant":         {"tenant", nil, "denied HX-OIDC-006"},
		"two tenants":       {"tenant", []string{"acme", "default"}, "denied HX-OIDC-006"},
		"a strange tenant":  {"tenant", "../acme", "not_found HX-TENANT-001"},
	} {
		if got := word(t, tokens, i.Sign(nil, with(i.Claims(issuertest.Alice), c.claim, c.v))); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	for typ, want := range map[string]string{"JWT": good, "at+jwt": good, "application/at+JWT": good, "logout+jwt": "unauthenticated HX-OIDC-001", "dpop+jwt": "unauthenticated HX-OIDC-001"} {
		if got := word(t, tokens, i.Sign(map[string]any{"typ": typ}, i.Claims(issuertest.Alice))); got != want {
			t.Errorf("typ %s: %s, want %s", typ, got, want)
		}
	}
	claims := i.Claims(issuertest.Alice)
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(i.KeySet(), &set); err != nil {
		t.Fatal(err)
	}
	theirs := set.Keys[0]
	spki, err := x509.MarshalPKIXPublicKey(theirs.Key)
	if err != nil {
		t.Fatal(err)
	}
	thumb, err := theirs.Thumbprint(crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	whole := i.Sign(nil, claims)
	parts := strings.Split(whole, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	for name, c := range map[string]struct{ text, want string }{
		"alg none":               {b64([]byte(`{"alg":"none"}`)) + "." + parts[1] + ".", "HX-OIDC-001"},
		"alg NONE, signed":       {b64([]byte(`{"alg":"NONE","kid":"`+theirs.KeyID+`"}`)) + "." + parts[1] + "." + parts[2], "HX-OIDC-001"},
		"HMAC, the public key":   {forged(t, jose.HS256, spki, map[string]any{"kid": theirs.KeyID}, claims), "HX-OIDC-001"},
		"HMAC, the thumbprint":   {forged(t, jose.HS256, thumb, map[string]any{"kid": theirs.KeyID}, claims), "HX-OIDC-001"},
		"an algorithm not taken": {b64([]byte(`{"alg":"ES384","kid":"`+theirs.KeyID+`"}`)) + "." + parts[1] + "." + parts[2], "HX-OIDC-001"},
		"another's key":          {forged(t, jose.ES256, mine, map[string]any{"kid": theirs.KeyID}, claims), "HX-OIDC-002"},
		"another's, no kid":      {forged(t, jose.ES256, mine, nil, claims), "HX-OIDC-002"},
		"a kid that is a path":   {forged(t, jose.ES256, mine, map[string]any{"kid": "../../../../dev/null"}, claims), "HX-OIDC-002"},
		"a kid of SQL":           {forged(t, jose.ES256, mine, map[string]any{"kid": "' OR '1'='1"}, claims), "HX-OIDC-002"},
		"its own key":            {forged(t, jose.ES256, mine, map[string]any{"jwk": jose.JSONWebKey{Key: mine.Public(), KeyID: "k", Algorithm: "ES256"}}, claims), "HX-OIDC-002"},
		"a place for its key":    {forged(t, jose.ES256, mine, map[string]any{"jku": "http://127.0.0.1:9/keys", "x5u": "http://127.0.0.1:9/x", "kid": "k"}, claims), "HX-OIDC-002"},
		"a changed payload":      {parts[0] + "." + b64([]byte(strings.Replace(string(unb64(t, parts[1])), "alice", "root", 1))) + "." + parts[2], "HX-OIDC-002"},
		"no signature":           {parts[0] + "." + parts[1] + ".", "HX-OIDC-002"},
		"garbage":                {"ey.ey.ey", "HX-OIDC-001"},
		"too long":               {whole + strings.Repeat("A", 8<<10), "HX-OIDC-001"},
		"a name twice":           {b64([]byte(`{"alg":"ES256","alg":"none"}`)) + "." + parts[1] + "." + parts[2], "HX-OIDC-001"},
		"crit":                   {b64([]byte(`{"alg":"ES256","crit":["b64"],"b64":false,"kid":"`+theirs.KeyID+`"}`)) + "." + parts[1] + "." + parts[2], "HX-OIDC-00"},
	} {
		if got := word(t, tokens, c.text); !strings.HasPrefix(got, "unauthenticated "+c.want) {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if n := i.Fetches(); n > 3 { // one of ours, and one each window of ten seconds
		t.Errorf("the keys were fetched %d times", n)
	}
}

func unb64(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// TestKeysOfTheIssuer: a new key is found, an old one forgotten, garbage does not
// make us hammer the issuer, and without it those whose key is known go on.
func TestKeysOfTheIssuer(t *testing.T) {
	t.Parallel()
	i := issuertest.Start(t)
	c := &clock{}
	tokens := newTokens(i, c)
	claims := i.Claims(issuertest.Bob)
	claims["exp"] = time.Now().Add(24 * time.Hour).Unix()
	want := func(text, want string) {
		t.Helper()
		if got := word(t, tokens, text); !strings.HasPrefix(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	const good, unknown, nobodyKnows = "acme ", "unauthenticated HX-OIDC-002", "unavailable HX-OIDC-008"
	old := i.Sign(nil, claims)
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	for n := range 50 { // a crowd at the start, and garbage in it
		all.Go(func() {
			want(old, good)
			want(forged(t, jose.ES256, mine, map[string]any{"kid": fmt.Sprint(n)}, claims), unknown)
		})
	}
	all.Wait()
	if n := i.Fetches(); n != 1 {
		t.Errorf("a crowd fetched the keys %d times", n)
	}
	i.Rotate()
	renewed := i.Sign(nil, claims)
	want(renewed, unknown) // the issuer was asked just before
	c.move(11 * time.Second)
	want(renewed, good)
	want(old, unknown) // it is replayed
	if n := i.Fetches(); n != 2 {
		t.Errorf("the keys were fetched %d times after one rotation", n)
	}

	i.Rotate()
	c.move(9 * time.Minute)
	want(renewed, good) // it may be, for a while
	c.move(2 * time.Minute)
	want(renewed, unknown) // and is not any more

	later := i.Sign(nil, claims)
	c.move(11 * time.Second)
	want(later, good)
	i.Down()
	asked, back := refusing(t, strings.TrimPrefix(i.URL, "http://"))
	c.move(time.Hour)
	for range 3 {
		want(later, good)
	}
	if n := asked(); n != 1 {
		t.Errorf("an issuer in trouble was asked %d times, although its key is known", n)
	}
	c.move(time.Minute)
	want(later, good)
	if n := asked(); n != 2 {
		t.Errorf("an issuer in trouble was asked %d times in two minutes", n)
	}
	back()
	c.move(11 * time.Second)
	want(forged(t, jose.ES256, mine, map[string]any{"kid": "k"}, claims), nobodyKnows)
	fresh := newTokens(i, c)
	if got := word(t, fresh, later); got != nobodyKnows {
		t.Errorf("without an issuer and without keys: %s", got)
	}
	i.Up()
	c.move(time.Minute)
	want(later, unknown)
	want(i.Sign(nil, claims), good)
}

// refusing is in the issuer's place, and counts who asks.
func refusing(t *testing.T, address string) (asked func() int64, end func()) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	must(t, err)
	var n atomic.Int64
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	})}
	done := make(chan error, 1)
	go func() { done <- server.Serve(l) }()
	return n.Load, func() { _ = server.Close(); <-done }
}

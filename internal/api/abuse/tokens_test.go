package abuse_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/auth/issuertest"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// tokens makes what takes those of the issuer.
func (w *world) tokens() *auth.Tokens {
	w.issuer = issuertest.Start(w.t)
	return auth.NewTokens(auth.TokenPolicy{
		Issuer: w.issuer.URL, Audiences: []string{issuertest.Client}, Algorithms: []string{"RS256", "ES256"}, ClockSkew: time.Second,
		Grants: auth.Grants{TenantClaim: "tenant", List: []auth.Grant{
			{Claim: "groups", Value: "hx-platform", Tenant: tenant.Default, Role: tenant.Platform},
			{Claim: "groups", Value: "hx-operators", Role: tenant.Operator},
		}},
	}, auth.NewIssuer(w.issuer.URL, nil), w.store,
		func() time.Time { return time.Now().Add(time.Duration(w.ahead.Load())) })
}

// bearer calls with a token.
func (c caller) bearer(token string) string {
	c.t.Helper()
	return c.as("").rest("GET", "/jobs", "", "Authorization", "Bearer "+token)
}

// claims are good ones of an operator of us, with some set otherwise.
func (w *world) claims(pairs ...any) map[string]any {
	claims := w.issuer.Claims("alice")
	claims["tenant"] = string(w.us.id)
	for i := 0; i < len(pairs); i += 2 {
		if claims[pairs[i].(string)] = pairs[i+1]; pairs[i+1] == nil {
			delete(claims, pairs[i].(string))
		}
	}
	return claims
}

// forge signs claims with a key that is not the issuer's.
func (c caller) forge(alg jose.SignatureAlgorithm, key any, header, claims map[string]any) string {
	c.t.Helper()
	o := &jose.SignerOptions{}
	for name, v := range header {
		o.WithHeader(jose.HeaderKey(name), v)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	must(c.t, err)
	payload, err := json.Marshal(claims)
	must(c.t, err)
	signed, err := signer.Sign(payload)
	must(c.t, err)
	text, err := signed.CompactSerialize()
	must(c.t, err)
	return text
}

// theirKey is what the issuer publishes.
func (w *world) theirKey(c caller) jose.JSONWebKey {
	c.t.Helper()
	var set jose.JSONWebKeySet
	must(c.t, json.Unmarshal(w.issuer.KeySet(), &set))
	return set.Keys[0]
}

func (c caller) ownKey() *ecdsa.PrivateKey {
	c.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(c.t, err)
	return k
}

// forgeries are tokens that the issuer did not sign, or not like this, or not for us.
func forgeries() []abuse {
	signed := func(name, want string, pairs ...any) abuse {
		return abuse{name: "token: " + name, want: want, try: func(w *world, c caller) string {
			return c.bearer(w.issuer.Sign(nil, w.claims(pairs...)))
		}}
	}
	own := func(name string, header func(c caller, theirs jose.JSONWebKey, mine *ecdsa.PrivateKey) map[string]any) abuse {
		return abuse{name: "token: " + name, want: "401 HX-OIDC-002", try: func(w *world, c caller) string {
			mine := c.ownKey()
			return c.bearer(c.forge(jose.ES256, mine, header(c, w.theirKey(c), mine), w.claims()))
		}}
	}
	now := time.Now().Unix()
	return []abuse{
		signed("a good one", "200"),
		signed("of another issuer", "401 HX-OIDC-003", "iss", "https://evil.example"),
		signed("for another audience", "401 HX-OIDC-003", "aud", "grafana"),
		signed("that has expired", "401 HX-OIDC-004", "exp", now-60),
		signed("that never expires", "401 HX-OIDC-001", "exp", nil),
		signed("that is not valid yet", "401 HX-OIDC-004", "nbf", now+3600),
		signed("of a group that has no grant", "403 HX-OIDC-005", "groups", []string{"guests"}),
		signed("of a tenant by a path", "404 HX-TENANT-001", "tenant", "them/../us"),
		signed("whose name goes on in the next line of the log", "401 HX-OIDC-001", "sub", "alice\n{\"level\":\"ERROR\"}"),
		signed("whose name is a key's", "200", "sub", "key:root"),
		own("by an own key under the issuer's id", func(_ caller, theirs jose.JSONWebKey, _ *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"kid": theirs.KeyID}
		}),
		own("whose key id is a path", func(caller, jose.JSONWebKey, *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"kid": "../../../../../dev/null"}
		}),
		own("whose key id is SQL and a URL", func(caller, jose.JSONWebKey, *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"kid": "http://127.0.0.1/' UNION SELECT '"}
		}),
		own("that brings its key along", func(_ caller, _ jose.JSONWebKey, mine *ecdsa.PrivateKey) map[string]any {
			return map[string]any{"jwk": jose.JSONWebKey{Key: mine.Public(), Algorithm: "ES256"}}
		}),
		{name: "token: that says where its key is", want: "401 HX-OIDC-002, 0 calls", try: keyElsewhere},
		{name: "token: alg none", want: "401 HX-OIDC-001", try: func(w *world, c caller) string {
			payload, err := json.Marshal(w.claims())
			must(c.t, err)
			return c.bearer(b64(`{"alg":"none"}`) + "." + b64(string(payload)) + ".")
		}},
		{name: "token: HMAC by the issuer's public key", want: "401 HX-OIDC-001", try: func(w *world, c caller) string {
			theirs := w.theirKey(c)
			public, err := x509.MarshalPKIXPublicKey(theirs.Key)
			must(c.t, err)
			return c.bearer(c.forge(jose.HS256, public, map[string]any{"kid": theirs.KeyID}, w.claims()))
		}},
		{name: "token: another's payload under a good signature", want: "401 HX-OIDC-002", try: func(w *world, c caller) string {
			parts := strings.Split(w.issuer.Sign(nil, w.claims()), ".")
			payload, err := json.Marshal(w.claims("groups", "hx-platform"))
			must(c.t, err)
			return c.bearer(parts[0] + "." + b64(string(payload)) + "." + parts[2])
		}},
		{name: "token: meant for something else", want: "401 HX-OIDC-001", try: func(w *world, c caller) string {
			return c.bearer(w.issuer.Sign(map[string]any{"typ": "logout+jwt"}, w.claims()))
		}},
		{name: "token: of 12 KiB", want: "401 HX-OIDC-001", try: func(w *world, c caller) string {
			return c.bearer(w.issuer.Sign(nil, w.claims("x", strings.Repeat("x", 12<<10))))
		}},
		{name: "token: nested a thousand deep", want: "401 HX-OIDC-003", try: func(_ *world, c caller) string {
			return c.bearer(b64(`{"alg":"ES256","x":`+strings.Repeat("[", 1000)+strings.Repeat("]", 1000)+`}`) + ".e30.e30")
		}},
		{name: "token: in the query", want: "401 HX-AUTH-010", try: func(w *world, c caller) string {
			return c.as("").rest("GET", "/jobs?access_token="+w.issuer.Sign(nil, w.claims()), "")
		}},
		{name: "token: of another tenant's operator by gRPC and GraphQL", want: "NotFound HX-JOB-041, 200 HX-JOB-041", try: func(w *world, c caller) string {
			c = c.as(w.issuer.Sign(nil, w.claims()))
			return c.rpc("GetReceipt", &pb.JobID{Id: w.them.job}, &pb.Receipt{}) + ", " + c.graph(w.theirs(`{job(id:"JOB"){id}}`), nil)
		}},
		{name: "token: 30 that name keys of their own invention", want: "30 x 401 HX-OIDC-002, 429 HX-GATE-002, at most 2 questions", try: inventedKeys},
		{name: "token: replayed after the issuer's key changed", want: "200, then 401 HX-OIDC-002", try: replayedToken},
	}
}

func b64(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func keyElsewhere(w *world, c caller) string {
	before := len(w.outside.got()) + len(w.inside.got())
	got := c.bearer(c.forge(jose.ES256, c.ownKey(), map[string]any{
		"kid": "mine", "jku": w.outside.url + "/jwks", "x5u": w.inside.url + "/cert",
	}, w.claims()))
	return fmt.Sprintf("%s, %d calls", got, len(w.outside.got())+len(w.inside.got())-before)
}

func inventedKeys(w *world, c caller) string {
	before, mine, claims := w.issuer.Fetches(), c.ownKey(), w.claims()
	first, n := "", 0
	for i := range 100 {
		got := c.bearer(c.forge(jose.ES256, mine, map[string]any{"kid": fmt.Sprint("k", i)}, claims))
		if i == 0 {
			first = got
		}
		if got != first {
			first = fmt.Sprintf("%d x %s, %s", n, first, got)
			break
		}
		n++
	}
	if asked := w.issuer.Fetches() - before; asked > 2 {
		return fmt.Sprintf("%s, %d questions", first, asked)
	}
	return first + ", at most 2 questions"
}

// replayedToken comes after the daemon has looked at the keys again.
func replayedToken(w *world, c caller) string {
	old := w.issuer.Sign(nil, w.claims())
	before := c.bearer(old)
	w.issuer.Rotate()
	w.ahead.Add(int64(11 * time.Second)) // the issuer is not asked more often
	if got := c.bearer(w.issuer.Sign(nil, w.claims())); got != "200" {
		return "the new key: " + got
	}
	return before + ", then " + c.bearer(old)
}

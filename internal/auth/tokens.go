package auth

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// maxToken is how long a token may be: what is in it costs the daemon before it
// knows who sent it.
const maxToken = 8 << 10 // bytes

// TokenPolicy says which tokens are taken.
type TokenPolicy struct {
	Issuer     string        // as the tokens name it, and where its keys are found
	Audiences  []string      // one of them must be in the token
	Algorithms []string      // of signatures; some of SignatureAlgorithms
	ClockSkew  time.Duration // between the issuer and this machine
	Grants     Grants
}

// signatures are the algorithms that can be allowed. None is not, and no HMAC: its
// key would be the issuer's public one.
var signatures = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// SignatureAlgorithms lists the algorithms that can be allowed.
func SignatureAlgorithms() []string {
	names := make([]string, len(signatures))
	for i, s := range signatures {
		names[i] = string(s)
	}
	return names
}

// Tokens lets in who brings a JWT that an OpenID Connect issuer signed. Of the
// token's header only alg, kid and typ count: a key that it brings along, or says
// where to fetch, is ignored.
type Tokens struct {
	policy     TokenPolicy
	algorithms []jose.SignatureAlgorithm
	keys       *keySet
	accounts   Accounts
	now        func() time.Time
}

// NewTokens makes the authenticator. now may be nil.
func NewTokens(policy TokenPolicy, issuer *Issuer, accounts Accounts, now func() time.Time) *Tokens {
	if now == nil {
		now = time.Now
	}
	t := &Tokens{policy: policy, keys: newKeySet(issuer.keys, now), accounts: accounts, now: now}
	for _, name := range policy.Algorithms {
		t.algorithms = append(t.algorithms, jose.SignatureAlgorithm(name))
	}
	return t
}

// OnFetch sets who is told of each question for the issuer's keys. Call it before the
// first request.
func (t *Tokens) OnFetch(f func(err error)) { t.keys.told = f }

// Authenticate verifies the token and maps its claims. Kinds as those of
// Credentials.
func (t *Tokens) Authenticate(ctx context.Context, text string) (tenant.Principal, error) {
	registered, all, err := t.verify(ctx, text)
	if err != nil {
		return tenant.Principal{}, err
	}
	if err := t.judge(&registered); err != nil {
		return tenant.Principal{}, err
	}
	name := "oidc:" + registered.Subject + "@" + registered.Issuer
	id, role, err := t.policy.Grants.of(all, name)
	if err != nil {
		return tenant.Principal{}, err
	}
	return member(ctx, t.accounts, id, name, role)
}

// verify checks the signature. Kinds Unauthenticated, Unavailable.
func (t *Tokens) verify(ctx context.Context, text string) (registered jwt.Claims, all map[string]any, err error) {
	if len(text) > maxToken {
		return registered, nil, badToken("is longer than 8 KiB", nil)
	}
	token, err := jwt.ParseSigned(text, t.algorithms)
	if err != nil {
		return registered, nil, badToken("is not a JWT that is signed by one of "+strings.Join(t.policy.Algorithms, ", "), err)
	}
	header := token.Headers[0]
	if !isAccess(header) {
		return registered, nil, badToken("is of a type that signs nobody in", nil)
	}
	if err := token.UnsafeClaimsWithoutVerification(&registered); err != nil || registered.Issuer != t.policy.Issuer {
		return registered, nil, otherIssuer(t.policy.Issuer) // it is not worth a question for keys
	}
	keys, err := t.keys.find(ctx, header.KeyID, header.Algorithm)
	if err != nil {
		return registered, nil, err
	}
	registered = jwt.Claims{}
	for _, k := range keys {
		if err = token.Claims(k, &registered, &all); err == nil {
			return registered, all, nil
		}
	}
	return registered, nil, fault.Wrap(cmp.Or(err, errNoKey), fault.Unauthenticated, "HX-OIDC-002",
		"the token is signed by no key of the issuer "+t.policy.Issuer, "sign in again (hyperctl login)")
}

var errNoKey = errors.New("the issuer has no such key")

// isAccess tells whether the type of a token is one that signs in: that of an ID
// token, or of an access token (RFC 9068). Others are for something else.
func isAccess(h jose.Header) bool {
	v, given := h.ExtraHeaders[jose.HeaderType]
	typ, _ := v.(string)
	typ = strings.TrimPrefix(strings.ToLower(typ), "application/")
	return !given || typ == "jwt" || typ == "at+jwt"
}

// subjectForm is that of OpenID Connect, without what a terminal obeys.
var subjectForm = regexp.MustCompile(`^[!-~]{1,255}$`)

// judge checks for whom and for when the token is. Kind Unauthenticated.
func (t *Tokens) judge(c *jwt.Claims) error {
	switch err := c.ValidateWithLeeway(jwt.Expected{
		Issuer: t.policy.Issuer, AnyAudience: t.policy.Audiences, Time: t.now(),
	}, t.policy.ClockSkew); {
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return otherIssuer(t.policy.Issuer)
	case errors.Is(err, jwt.ErrInvalidAudience):
		return fault.New(fault.Unauthenticated, "HX-OIDC-003", "the token is for somebody else: its aud names none of "+strings.Join(t.policy.Audiences, ", "),
			"sign in for this daemon (hyperctl login), or let the issuer put one of them into aud")
	case errors.Is(err, jwt.ErrExpired):
		return fault.New(fault.Unauthenticated, "HX-OIDC-004", "the token has expired", "sign in again (hyperctl login)")
	case err != nil:
		return fault.Wrap(err, fault.Unauthenticated, "HX-OIDC-004", "the token is not valid yet", "compare the clocks of the issuer and of this daemon")
	case c.Expiry == nil:
		return badToken("never expires (it has no exp)", nil)
	case !subjectForm.MatchString(c.Subject):
		return badToken("names nobody (its sub is not 1 to 255 visible ASCII characters)", nil)
	}
	return nil
}

func otherIssuer(ours string) error {
	return fault.New(fault.Unauthenticated, "HX-OIDC-003", "the token is of another issuer", "sign in at "+ours)
}

func badToken(why string, cause error) error {
	return &fault.Error{
		Kind: fault.Unauthenticated, Code: "HX-OIDC-001", Msg: "the token " + why, Err: cause,
		Fix: "send a token of the issuer that GET /auth/config names, or an API key",
	}
}

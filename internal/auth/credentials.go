package auth

import (
	"context"
	"net/http"
	"strings"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Accounts knows the tenants: whom a token or a certificate is mapped to must be one.
type Accounts interface {
	// Tenant finds the tenant of the scope. Kind NotFound.
	Tenant(ctx context.Context, s tenant.Scope) (tenant.Account, error)
}

// Credentials lets in by what a request carries: an API key, a token of an OpenID
// Connect issuer, a client certificate. A header that carries a credential decides
// alone: a wrong key is not made good by a certificate. A certificate counts only
// where no such header is.
type Credentials struct {
	keys         *Ring
	tokens       *Tokens       // nil: none are taken
	certificates *Certificates // nil: none are taken
}

// NewCredentials makes the authenticator. tokens and certificates may be nil.
func NewCredentials(keys *Ring, tokens *Tokens, certificates *Certificates) *Credentials {
	return &Credentials{keys: keys, tokens: tokens, certificates: certificates}
}

// Authenticate finds out who calls. Kinds: Unauthenticated; Denied for somebody known
// whom nothing is granted; NotFound for a tenant that is not there; Unavailable if
// the issuer's keys are not to be had; any other kind is the store's.
func (c *Credentials) Authenticate(r *http.Request) (tenant.Principal, error) {
	given := credential(r.Header)
	switch {
	case c.tokens != nil && isToken(given):
		return c.tokens.Authenticate(r.Context(), given)
	case c.certificates != nil && !presents(r.Header) && r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		return c.certificates.Authenticate(r)
	}
	return c.keys.Authenticate(r)
}

// presents tells whether a header carries a credential, of whatever form.
func presents(h http.Header) bool {
	return len(h.Values("Authorization")) > 0 || len(h.Values("X-Api-Key")) > 0
}

// isToken tells a JWT from an API key: it is three parts of base64url, the first of
// which begins a JSON object.
func isToken(given string) bool {
	return strings.HasPrefix(given, "ey") && strings.Count(given, ".") == 2
}

// member makes the principal of a role, if its tenant is there. Kind NotFound.
func member(ctx context.Context, accounts Accounts, id tenant.ID, name string, role tenant.Role) (tenant.Principal, error) {
	p := tenant.NewPrincipal(id, name, role.Permissions()...)
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return tenant.Principal{}, err
	}
	if _, err := accounts.Tenant(ctx, scope); err != nil {
		return tenant.Principal{}, err
	}
	return p, nil
}

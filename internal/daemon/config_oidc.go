package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// OIDCConfig lets in who brings a token of an OpenID Connect issuer.
type OIDCConfig struct {
	Issuer     string        `yaml:"issuer"`     // as its tokens name it; empty: no tokens are taken
	Audiences  []string      `yaml:"audiences"`  // one of them must be in a token; default: login.client_id
	Algorithms []string      `yaml:"algorithms"` // of signatures
	ClockSkew  time.Duration `yaml:"clock_skew"`
	CAFile     string        `yaml:"ca_file"` // trusted besides the system's CAs

	// TenantClaim names the tenant where a grant names none.
	TenantClaim string        `yaml:"tenant_claim"`
	Grants      []GrantConfig `yaml:"grants"` // the first that holds counts
	Login       LoginConfig   `yaml:"login"`
}

// GrantConfig gives a role to tokens of which a claim is, or holds, a value.
type GrantConfig struct {
	Claim  string `yaml:"claim"` // a.b: b within a; empty: every token
	Value  string `yaml:"value"`
	Tenant string `yaml:"tenant"` // empty: what tenant_claim says
	Role   string `yaml:"role"`
}

// LoginConfig is what `hyperctl login` learns from the daemon.
type LoginConfig struct {
	ClientID string   `yaml:"client_id"` // public, with the device grant; empty: hyperctl must be told
	Scopes   []string `yaml:"scopes"`
	Token    string   `yaml:"token"` // which to send: id_token, access_token
}

const (
	tokenID     = "id_token"
	tokenAccess = "access_token"
	maxSkew     = 5 * time.Minute
)

func defaultOIDC() OIDCConfig {
	return OIDCConfig{
		Algorithms: []string{"RS256", "ES256"}, ClockSkew: 30 * time.Second,
		Login: LoginConfig{Scopes: []string{"openid", "profile", "offline_access"}, Token: tokenID},
	}
}

func (o *OIDCConfig) complete() {
	if len(o.Audiences) == 0 && o.Login.ClientID != "" {
		o.Audiences = []string{o.Login.ClientID}
	}
}

func (o *OIDCConfig) check() (wrong []string) {
	bad := func(key, why string) { wrong = append(wrong, "security.oidc."+key+": "+why) }
	if o.Issuer == "" {
		if len(o.Grants) > 0 || len(o.Audiences) > 0 {
			bad("issuer", "is missing")
		}
		return wrong
	}
	if why := auth.CheckIssuer(o.Issuer); why != "" {
		bad("issuer", why)
	}
	if len(o.Audiences) == 0 || slices.Contains(o.Audiences, "") {
		bad("audiences", "name at least one, or login.client_id: a token for anybody else must not open this daemon")
	}
	if len(o.Algorithms) == 0 {
		bad("algorithms", "name at least one")
	}
	for _, a := range o.Algorithms {
		if !slices.Contains(auth.SignatureAlgorithms(), a) {
			bad("algorithms", fmt.Sprintf("%q is none of %s", a, strings.Join(auth.SignatureAlgorithms(), ", ")))
		}
	}
	if o.ClockSkew < 0 || o.ClockSkew > maxSkew {
		bad("clock_skew", "0 to 5m")
	}
	if o.Login.Token != tokenID && o.Login.Token != tokenAccess {
		bad("login.token", "id_token or access_token")
	}
	return append(wrong, o.checkGrants()...)
}

func (o *OIDCConfig) checkGrants() (wrong []string) {
	if len(o.Grants) == 0 {
		wrong = append(wrong, "security.oidc.grants: name at least one: without a grant nobody may do anything")
	}
	for i, g := range o.Grants {
		bad := func(why string) {
			wrong = append(wrong, fmt.Sprintf("security.oidc.grants: the %s %s", ordinal(i), why))
		}
		if !tenant.Role(g.Role).Valid() {
			bad("gives no role: viewer, operator, admin, platform")
		}
		if g.Tenant == "" && o.TenantClaim == "" {
			bad("names no tenant, and there is no tenant_claim")
		}
		if (g.Claim == "") != (g.Value == "") {
			bad("needs both claim and value, or none of them (for every token)")
		}
	}
	return wrong
}

// ordinal counts the entries of a list for people.
func ordinal(i int) string { return fmt.Sprintf("entry %d", i+1) }

func (o *OIDCConfig) grants() auth.Grants {
	g := auth.Grants{TenantClaim: o.TenantClaim}
	for _, c := range o.Grants {
		g.List = append(g.List, auth.Grant{Claim: c.Claim, Value: c.Value, Tenant: tenant.ID(c.Tenant), Role: tenant.Role(c.Role)})
	}
	return g
}

// tokens makes the authenticator; nil if no tokens are taken. Kind Invalid.
func (o *OIDCConfig) tokens(accounts auth.Accounts) (*auth.Tokens, error) {
	if o.Issuer == "" {
		return nil, nil //nolint:nilnil // nil takes none
	}
	trust, err := o.trust()
	if err != nil {
		return nil, err
	}
	return auth.NewTokens(auth.TokenPolicy{
		Issuer: o.Issuer, Audiences: o.Audiences, Algorithms: o.Algorithms, ClockSkew: o.ClockSkew, Grants: o.grants(),
	}, auth.NewIssuer(o.Issuer, trust), accounts, nil), nil
}

// trust adds the CAs of ca_file to the system's; nil if there is none. Kind Invalid.
func (o *OIDCConfig) trust() (*tls.Config, error) {
	if o.CAFile == "" {
		return nil, nil //nolint:nilnil // nil is the default of net/http
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	text, err := os.ReadFile(o.CAFile)
	if err == nil && !pool.AppendCertsFromPEM(text) {
		err = errors.New("no certificate in it")
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12},
		fault.Wrap(err, fault.Invalid, "HX-OIDC-009", "security.oidc.ca_file cannot be used", "give a readable file of certificates as PEM")
}

// issuerAsked tells the operator of an issuer that does not answer: callers whose key
// is known do not notice.
func (d *Daemon) issuerAsked(metrics *telemetry.Metrics, err error) {
	metrics.IssuerKeys(err)
	if err != nil {
		d.log.Warn("the keys of the issuer are not to be had", "issuer", d.cfg.Security.OIDC.Issuer, "error", fault.Detail(err))
	}
}

// signIn is what the daemon tells everybody about how to sign in.
func (c *Config) signIn() rest.SignIn {
	s := rest.SignIn{Methods: []string{}}
	if c.Auth.Disabled {
		return s
	}
	s.Methods = append(s.Methods, "api_key")
	if o := c.Security.OIDC; o.Issuer != "" {
		s.Methods = append(s.Methods, "oidc")
		s.OIDC = &rest.SignInOIDC{Issuer: o.Issuer, ClientID: o.Login.ClientID, Scopes: o.Login.Scopes, Token: o.Login.Token}
	}
	if c.TLS.ClientAuth != clientAuthOff {
		s.Methods = append(s.Methods, "mtls")
	}
	return s
}

package auth

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Holder gives a role to whoever holds a certificate.
type Holder struct {
	// Certificate names it by KIND:VALUE: uri, dns and email are subject alternative
	// names, cn is the common name, sha256 the fingerprint.
	Certificate string
	Tenant      tenant.ID
	Role        tenant.Role
}

// CheckHolder tells why a text names no certificate; "" if it does.
func CheckHolder(certificate string) string {
	kind, value, _ := strings.Cut(certificate, ":")
	switch {
	case !slices.Contains([]string{"uri", "dns", "email", "cn", kindDigest}, kind) || value == "":
		return "is not uri:, dns:, email:, cn: or sha256: with a value"
	case kind == kindDigest:
		if raw, err := hex.DecodeString(value); err != nil || len(raw) != sha256.Size || value != strings.ToLower(value) {
			return "is no SHA-256 in 64 lower-case hexadecimal digits"
		}
	}
	return ""
}

const kindDigest = "sha256"

// Certificates lets in by client certificates. Only what the TLS handshake proved
// counts: no header can stand for a certificate.
type Certificates struct {
	trust    *trust
	holders  []Holder
	accounts Accounts
}

// NewCertificates makes the authenticator: the CAs are read from a file, and which
// of their certificates are revoked from another, which may be empty. Both are read
// again when they change. now may be nil. Kind Invalid.
func NewCertificates(caFile, crlFile string, holders []Holder, accounts Accounts, now func() time.Time, log *slog.Logger) (*Certificates, error) {
	t, err := newTrust(caFile, crlFile, now, log)
	return &Certificates{trust: t, holders: holders, accounts: accounts}, err
}

// Reload looks at the files now.
func (c *Certificates) Reload() { c.trust.look(true) }

// Authorities are what a server tells its clients of the CAs that it trusts.
func (c *Certificates) Authorities() *x509.CertPool { return c.trust.current().roots }

// VerifyConnection refuses a connection at the handshake, of a resumed session, too,
// whose certificate is not good. Without one there is nothing to refuse.
func (c *Certificates) VerifyConnection(s tls.ConnectionState) error {
	if len(s.PeerCertificates) == 0 {
		return nil
	}
	return c.trust.verify(s.PeerCertificates)
}

// Authenticate finds out who holds the certificate of the request's connection. It
// is verified anew: a connection may outlive a certificate. Kinds as those of
// Credentials.
func (c *Certificates) Authenticate(r *http.Request) (tenant.Principal, error) {
	chain := r.TLS.PeerCertificates
	if err := c.trust.verify(chain); err != nil {
		return tenant.Principal{}, fault.Wrap(err, fault.Unauthenticated, "HX-MTLS-001", "the client certificate is not good any more: it has expired, was revoked, or its CA is not trusted",
			"connect with a new one")
	}
	names := namesOf(chain[0])
	for _, h := range c.holders {
		if slices.Contains(names, h.Certificate) {
			return member(r.Context(), c.accounts, h.Tenant, "cert:"+h.Certificate, h.Role)
		}
	}
	return tenant.Principal{}, fault.New(fault.Denied, "HX-MTLS-002", "the client certificate is good, but nobody is known by it here",
		"ask the platform's administrator to add it to tls.clients, or send an API key or a token")
}

// namesOf are all that a holder may name a certificate by.
func namesOf(c *x509.Certificate) []string {
	digest := sha256.Sum256(c.Raw)
	names := []string{kindDigest + ":" + hex.EncodeToString(digest[:])}
	if c.Subject.CommonName != "" {
		names = append(names, "cn:"+c.Subject.CommonName)
	}
	for _, u := range c.URIs {
		names = append(names, "uri:"+u.String())
	}
	for _, n := range c.DNSNames {
		names = append(names, "dns:"+n)
	}
	for _, n := range c.EmailAddresses {
		names = append(names, "email:"+n)
	}
	return names
}

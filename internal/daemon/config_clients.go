package daemon

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"slices"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// ClientConfig gives a role to whoever holds a certificate.
type ClientConfig struct {
	Certificate string `yaml:"certificate"` // uri:, dns:, email:, cn: or sha256: and the value
	Tenant      string `yaml:"tenant"`
	Role        string `yaml:"role"`
}

// Whether clients show certificates.
const (
	clientAuthOff      = "off"
	clientAuthOptional = "optional"
	clientAuthRequired = "required"
)

func (t *TLSConfig) checkClients() (wrong []string) {
	if !slices.Contains([]string{clientAuthOff, clientAuthOptional, clientAuthRequired}, t.ClientAuth) {
		return []string{"tls.client_auth: off, optional or required"}
	}
	if t.ClientAuth != clientAuthOff && (!t.enabled() || t.ClientCAFile == "") {
		wrong = append(wrong, "tls.client_auth: needs tls.cert_file and tls.client_ca_file")
	}
	if t.ClientAuth == clientAuthOff && len(t.Clients) > 0 {
		wrong = append(wrong, "tls.clients: no certificate is asked for while tls.client_auth is off")
	}
	seen := map[string]bool{}
	for i, c := range t.Clients {
		bad := func(why string) { wrong = append(wrong, fmt.Sprintf("tls.clients: the %s %s", ordinal(i), why)) }
		if why := auth.CheckHolder(c.Certificate); why != "" {
			bad(why)
		}
		if c.Tenant == "" || !tenant.Role(c.Role).Valid() {
			bad("needs a tenant, and a role: viewer, operator, admin, platform")
		}
		if seen[c.Certificate] {
			bad("names the certificate of one before")
		}
		seen[c.Certificate] = true
	}
	return wrong
}

// certificates makes the authenticator; nil if none are asked for. Kind Invalid.
func (t *TLSConfig) certificates(accounts auth.Accounts, log *slog.Logger) (*auth.Certificates, error) {
	if t.ClientAuth == clientAuthOff {
		return nil, nil //nolint:nilnil // nil takes none
	}
	holders := make([]auth.Holder, len(t.Clients))
	for i, c := range t.Clients {
		holders[i] = auth.Holder{Certificate: c.Certificate, Tenant: tenant.ID(c.Tenant), Role: tenant.Role(c.Role)}
	}
	return auth.NewCertificates(t.ClientCAFile, t.ClientCRLFile, holders, accounts, nil, log)
}

// askClients makes a server ask for certificates. They are verified by
// VerifyConnection, which sees resumed sessions, too, and the CAs as they are.
func (t *TLSConfig) askClients(server *tls.Config, clients *auth.Certificates) {
	if clients == nil {
		return
	}
	server.ClientAuth, server.ClientCAs = tls.RequestClientCert, clients.Authorities()
	if t.ClientAuth == clientAuthRequired {
		server.ClientAuth = tls.RequireAnyClientCert
	}
	server.VerifyConnection = clients.VerifyConnection
}

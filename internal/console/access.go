package console

import (
	"crypto/tls"
	"os"
	"strings"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Access is how a program reaches a daemon, and as whom. What is empty is not used.
type Access struct {
	Server  string
	KeyFile string // with an API key
	CAFile  string // trusted besides the system's CAs
	// CertFile and CertKeyFile are the client certificate and its key, as PEM.
	CertFile, CertKeyFile string
}

// Connect makes a client. Its credential is the API key (of KeyFile, or of
// HYPERVISORD_API_KEY), else the client certificate, else the token of `hyperctl
// login` at this daemon.
func (a Access) Connect() (*client.Client, error) {
	key, err := a.key()
	if err != nil {
		return nil, err
	}
	if key == "" && a.CertFile == "" {
		return a.ConnectByLogin()
	}
	return a.open(client.Options{APIKey: key})
}

// ConnectByLogin makes a client whose credential is the token of `hyperctl login` at
// this daemon; it has none if nobody logged in.
func (a Access) ConnectByLogin() (*client.Client, error) {
	var o client.Options
	switch s, err := openSession(a.Server); {
	case err != nil:
		return nil, err
	case s != nil:
		if s.trust, err = trusted(a.CAFile); err != nil {
			return nil, err
		}
		o.Token = s.token
	}
	return a.open(o)
}

// open makes a client with the credential that o holds.
func (a Access) open(o client.Options) (c *client.Client, err error) {
	if o.TLS, err = a.tls(); err != nil {
		return nil, err
	}
	c, err = client.New(a.Server, o)
	return c, ServerError(err)
}

func (a Access) key() (string, error) {
	if a.KeyFile == "" {
		return os.Getenv("HYPERVISORD_API_KEY"), nil
	}
	text, err := os.ReadFile(a.KeyFile)
	if err != nil {
		return "", fault.Wrap(err, fault.Invalid, "HX-CLI-004", "the API key file "+a.KeyFile+" cannot be read", "check its path and permissions")
	}
	return strings.TrimSpace(string(text)), nil
}

// tls is whom to trust and what to show; nil for the default of net/http.
func (a Access) tls() (*tls.Config, error) {
	config, err := trusted(a.CAFile)
	if err != nil || a.CertFile == "" && a.CertKeyFile == "" {
		return config, err
	}
	pair, err := tls.LoadX509KeyPair(a.CertFile, a.CertKeyFile)
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-CLI-020", "the client certificate cannot be used", "give the certificate (--cert) and its key (--key) as PEM files")
	}
	if config == nil {
		config = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

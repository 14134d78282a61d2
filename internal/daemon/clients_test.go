package daemon

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"path/filepath"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/console"
)

// clientCA issues certificates for clients.
type clientCA struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newClientCA(t *testing.T, dir, file string) *clientCA {
	t.Helper()
	ca := &clientCA{t: t, dir: dir}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: file}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	var err error
	if ca.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, ca.key.Public(), ca.key)
	if err != nil {
		t.Fatal(err)
	}
	if ca.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	ca.pem(file, "CERTIFICATE", der)
	return ca
}

func (ca *clientCA) pem(file, kind string, der []byte) {
	ca.t.Helper()
	put(ca.t, ca.dir, file, string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})))
}

// issue writes NAME.crt and NAME.key.
func (ca *clientCA) issue(name string, serial int64) {
	ca.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		ca.t.Fatal(err)
	}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, form, ca.cert, key.Public(), ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		ca.t.Fatal(err)
	}
	ca.pem(name+".crt", "CERTIFICATE", der)
	ca.pem(name+".key", "PRIVATE KEY", private)
}

func (ca *clientCA) revoke(file string, serials ...int64) {
	ca.t.Helper()
	form := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now(), NextUpdate: time.Now().Add(time.Hour)}
	for _, s := range serials {
		form.RevokedCertificateEntries = append(form.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: big.NewInt(s), RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, form, ca.cert, ca.key)
	if err != nil {
		ca.t.Fatal(err)
	}
	ca.pem(file, "X509 CRL", der)
}

// TestClientCertificates: the daemon knows clients by their certificates, refuses bad
// ones in the handshake, and reads again whom it trusts.
func TestClientCertificates(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, other := newClientCA(t, dir, "ca.pem"), newClientCA(t, dir, "other.pem")
	ca.issue("ops", 2)
	ca.issue("somebody", 3)
	ca.issue("gone", 4)
	other.issue("stranger", 2)
	ca.revoke("crl.pem", 4)
	cfg := DefaultConfig()
	cfg.StateDir, cfg.Listen, cfg.ProfilesDir = filepath.Join(dir, "state"), "127.0.0.1:0", filepath.Join(dir, "none")
	cfg.TLS.CertFile, cfg.TLS.KeyFile = filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	cfg.TLS.ClientCAFile, cfg.TLS.ClientCRLFile, cfg.TLS.ClientAuth = filepath.Join(dir, "ca.pem"), filepath.Join(dir, "crl.pem"), clientAuthOptional
	cfg.TLS.Clients = []ClientConfig{{Certificate: "cn:ops", Tenant: "default", Role: "operator"}, {Certificate: "cn:stranger", Tenant: "default", Role: "platform"}}
	cfg.complete()
	issue(t, cfg.TLS, 1)

	for _, auth := range []string{clientAuthOptional, clientAuthRequired} {
		cfg.TLS.ClientAuth = auth
		d, stop := serveDaemon(t, cfg)
		ask := func(name, keyFile string) string {
			t.Helper()
			a := console.Access{Server: d.URL(), KeyFile: keyFile, CAFile: cfg.TLS.CertFile}
			if name != "" {
				a.CertFile, a.CertKeyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
			}
			c, err := a.Connect()
			if err != nil {
				t.Fatal(err)
			}
			who, err := c.WhoAmI(t.Context())
			if err != nil {
				return codeOf(err)
			}
			return who.Actor
		}
		// Who has no certificate of the CAs that the server names shows none.
		anonymous, byKey := "HX-AUTH-010", "key:default"
		if auth == clientAuthRequired {
			anonymous, byKey = "HX-CLIENT-009", "HX-CLIENT-009"
		}
		for _, c := range []struct{ name, keyFile, want string }{
			{"ops", "", "cert:cn:ops"}, {"somebody", "", "HX-MTLS-002"}, {"stranger", "", anonymous}, {"gone", "", "HX-CLIENT-009"}, {"", "", anonymous},
			{"", cfg.Auth.KeyFile, byKey}, {"somebody", cfg.Auth.KeyFile, "key:default"}, {"ops", cfg.Auth.KeyFile, "key:default"},
		} {
			if got := ask(c.name, c.keyFile); got != c.want {
				t.Errorf("%s: %q with the key %q: %q, want %q", auth, c.name, filepath.Base(c.keyFile), got, c.want)
			}
		}
		if auth == clientAuthRequired {
			ca.revoke("crl.pem", 2, 4)
			d.clients.Reload()
			if got := ask("ops", ""); got != "HX-CLIENT-009" {
				t.Errorf("revoked meanwhile: %q", got)
			}
		}
		stop()
	}
}

func codeOf(err error) string {
	if e, ok := errors.AsType[*client.Error](err); ok {
		return e.Code
	}
	return err.Error()
}

// serveDaemon runs one until stop.
func serveDaemon(t *testing.T, cfg Config) (d *Daemon, stop func()) {
	t.Helper()
	d, err := New(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	return d, func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(fmt.Errorf("run: %w", err))
		}
	}
}

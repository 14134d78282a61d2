package vsphere

import (
	"crypto/sha1" // vSphere names certificates by it
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// trust is how to verify vCenter, and an ESXi host for which vCenter states no
// thumbprint.
func (c *Config) trust() (*tls.Config, error) {
	pem, err := c.roots()
	if err != nil {
		return nil, err
	}
	tc := &tls.Config{MinVersion: tls.VersionTLS12}
	if pem != nil {
		tc.RootCAs = x509.NewCertPool()
		if !tc.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fault.New(fault.Invalid, "HX-VSPHERE-008",
				"no certificate in "+c.CAFile, "the file must hold PEM blocks of type CERTIFICATE")
		}
	}
	if c.Thumbprint != "" {
		return pin(tc, c.Thumbprint)
	}
	tc.InsecureSkipVerify = c.Insecure
	return tc, nil
}

// pin returns tc with the verification replaced: the certificate must have the
// thumbprint, and nothing else is asked of it.
func pin(tc *tls.Config, thumbprint string) (*tls.Config, error) {
	want, err := hex.DecodeString(strings.NewReplacer(":", "", " ", "").Replace(thumbprint))
	if err != nil || len(want) != sha1.Size && len(want) != sha256.Size {
		return nil, fault.New(fault.Invalid, "HX-VSPHERE-009",
			"the thumbprint of a certificate cannot be understood",
			"give the SHA-1 or SHA-256 in hex: openssl x509 -noout -fingerprint -sha256")
	}
	tc = tc.Clone()
	tc.InsecureSkipVerify = true // VerifyConnection is the verification
	tc.VerifyConnection = func(state tls.ConnectionState) error {
		leaf := state.PeerCertificates[0]
		if string(digest(leaf, len(want))) != string(want) {
			return &thumbprintError{leaf: leaf}
		}
		return nil
	}
	return tc, nil
}

func digest(cert *x509.Certificate, size int) []byte {
	if size == sha1.Size {
		sum := sha1.Sum(cert.Raw)
		return sum[:]
	}
	sum := sha256.Sum256(cert.Raw)
	return sum[:]
}

// thumbprintError is a certificate that is not the pinned one.
type thumbprintError struct{ leaf *x509.Certificate }

func (e *thumbprintError) Error() string {
	return "the certificate has the SHA-256 thumbprint " + thumbprint(e.leaf) + ", which is not the expected one"
}

// thumbprint formats the SHA-256 of a certificate as openssl does.
func thumbprint(cert *x509.Certificate) string {
	sum := sha256.Sum256(cert.Raw)
	var b strings.Builder
	for i, x := range sum {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%02X", x)
	}
	return b.String()
}

// newTransport makes HTTP connections that tc verifies. header bounds the wait
// for the first byte of an answer. The owner calls CloseIdleConnections.
func newTransport(tc *tls.Config, header time.Duration) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       tc,
		TLSHandshakeTimeout:   15 * time.Second,
		ResponseHeaderTimeout: header,
		MaxIdleConnsPerHost:   16,
		IdleConnTimeout:       time.Minute,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true,
	}
}

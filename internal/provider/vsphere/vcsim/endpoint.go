package vcsim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha1"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// scheme is that of all addresses here.
const scheme = "https"

// endpoint is one TLS listener with a certificate of its own. It speaks
// HTTP/1.1 only, as vCenter's and ESXi's proxies do.
type endpoint struct {
	addr       string // host:port
	pem        []byte
	thumbprint string
	listener   net.Listener
	server     *http.Server
	served     chan struct{} // closed when the accept loop has ended
}

// listen opens a listener; nothing is served before start.
func listen(addr string) (*endpoint, error) {
	l, err := net.Listen("tcp", addr) //nolint:noctx // returns at once
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, codeListen,
			"the simulated vCenter cannot listen on "+addr+": the address is taken or not one of this machine",
			"name another address, with port 0 for any free port")
	}
	host, _, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), l.Close())
	}
	cert, err := selfSigned(host)
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	e := &endpoint{
		addr:       l.Addr().String(),
		pem:        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Certificate[0]}),
		thumbprint: thumbprint(cert.Certificate[0]),
		listener: tls.NewListener(l, &tls.Config{
			Certificates: []tls.Certificate{cert},
			NextProtos:   []string{"http/1.1"},
			MinVersion:   tls.VersionTLS12,
		}),
	}
	return e, nil
}

// start serves h until close.
func (e *endpoint) start(h http.Handler) {
	e.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 30 * time.Second,
		ErrorLog:          log.New(io.Discard, "", 0), // cut connections are its business
	}
	e.served = make(chan struct{})
	go func() {
		defer close(e.served)
		_ = e.server.Serve(e.listener) // always ErrServerClosed
	}()
}

// close cuts all connections and waits for the accept loop.
func (e *endpoint) close() error {
	if e.server == nil {
		return e.listener.Close()
	}
	err := e.server.Close()
	<-e.served
	return err
}

// selfSigned makes a certificate for one host and loopback names.
func selfSigned(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	tmpl := x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: host, Organization: []string{"hypersdk vCenter simulator"}},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		IsCA:         true, BasicConstraintsValid: true,
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() && !ip.IsUnspecified() {
		tmpl.IPAddresses = append(tmpl.IPAddresses, ip)
	}
	der, err := x509.CreateCertificate(rand.Reader, &tmpl, &tmpl, &key.PublicKey, key)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("make certificate: %w", err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil
}

// thumbprint formats a certificate's SHA-1 as vSphere does: "AA:BB:…".
func thumbprint(der []byte) string {
	sum := sha1.Sum(der)
	parts := make([]string, len(sum))
	for i, b := range sum {
		parts[i] = fmt.Sprintf("%02X", b)
	}
	return strings.Join(parts, ":")
}

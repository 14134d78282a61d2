package daemon

import (
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// TLSConfig is the certificate of the API. Without one the daemon speaks plain
// HTTP, on loopback.
type TLSConfig struct {
	CertFile   string `yaml:"cert_file"`   // PEM, with the chain; read again when it changes
	KeyFile    string `yaml:"key_file"`    // PEM
	MinVersion string `yaml:"min_version"` // 1.3 or 1.2
	// AllowPlaintext lets a daemon without a certificate listen on other addresses
	// than loopback, for a proxy that speaks TLS in front of it.
	AllowPlaintext bool `yaml:"allow_plaintext"`

	// ClientAuth says whether clients show certificates: off, optional, required.
	ClientAuth    string         `yaml:"client_auth"`
	ClientCAFile  string         `yaml:"client_ca_file"`  // PEM, of the CAs that issue them; read again when it changes
	ClientCRLFile string         `yaml:"client_crl_file"` // PEM, which of them are revoked; read again when it changes
	Clients       []ClientConfig `yaml:"clients"`         // who they are
}

func (t *TLSConfig) enabled() bool { return t.CertFile != "" }

func (c *Config) checkTLS() (wrong []string) {
	t := c.TLS
	if (t.CertFile == "") != (t.KeyFile == "") {
		wrong = append(wrong, "tls: cert_file and key_file go together")
	}
	if t.MinVersion != "1.2" && t.MinVersion != "1.3" {
		wrong = append(wrong, "tls.min_version: 1.2 or 1.3")
	}
	if !t.enabled() && !t.AllowPlaintext && !isLoopback(c.Listen) {
		wrong = append(wrong, "listen: an address that others reach needs tls.cert_file and tls.key_file (or tls.allow_plaintext, behind a proxy that speaks TLS): keys would cross the network in the clear")
	}
	return append(wrong, t.checkClients()...)
}

// secure makes the server speak TLS if there is a certificate, and says by which
// protocols. HTTP/2 without TLS stays on loopback.
func (d *Daemon) secure(server *http.Server) error {
	server.Protocols.SetUnencryptedHTTP2(!d.cfg.TLS.enabled() && isLoopback(d.cfg.Listen))
	if !d.cfg.TLS.enabled() {
		return nil
	}
	var err error
	if d.certificate, err = loadCertificate(d.cfg.TLS, d.log); err != nil {
		return err
	}
	server.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: d.certificate.get}
	if d.cfg.TLS.MinVersion == "1.2" {
		server.TLSConfig.MinVersion = tls.VersionTLS12
	}
	d.cfg.TLS.askClients(server.TLSConfig, d.clients)
	return nil
}

// certificate is a pair of files, read again when they change. Open connections go
// on with the one that they began with.
type certificate struct {
	files TLSConfig
	log   *slog.Logger

	mu      sync.Mutex
	pair    *tls.Certificate
	read    stamp     // of the files that pair is from
	failed  stamp     // of the files that were refused last
	checked time.Time // when the files were looked at last
}

// stamp tells files from later ones of the same name.
type stamp struct{ cert, key fileStamp }

type fileStamp struct {
	modified time.Time
	size     int64
}

// checkEvery is how long a changed certificate may wait for a handshake to see it.
const checkEvery = time.Second

// loadCertificate reads the files. Kind Invalid.
func loadCertificate(files TLSConfig, log *slog.Logger) (*certificate, error) {
	c := &certificate{files: files, log: log}
	return c, c.load()
}

func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= checkEvery {
		c.checked = now
		c.reload()
	}
	return c.pair, nil
}

// Reload looks at the files now.
func (c *certificate) Reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reload()
}

// reload keeps the old pair when the new one is no good: the two files change one
// after the other.
func (c *certificate) reload() {
	at, err := c.stamp()
	if err == nil && (at == c.read || at == c.failed) {
		return
	}
	if err == nil {
		err = c.load()
	}
	if err != nil {
		c.failed = at
		c.log.Warn("the certificate was not read again: the old one stays", "error", fault.Detail(err))
		return
	}
	c.log.Info("the certificate was read again", "expires", c.pair.Leaf.NotAfter)
}

func (c *certificate) load() error {
	at, err := c.stamp()
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "HX-CONF-014", "the certificate's files cannot be read", "check tls.cert_file, tls.key_file and their permissions")
	}
	pair, err := tls.LoadX509KeyPair(c.files.CertFile, c.files.KeyFile)
	if err == nil && pair.Leaf == nil {
		pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0])
	}
	if err != nil {
		return fault.Wrap(err, fault.Invalid, "HX-CONF-015", "tls.cert_file and tls.key_file hold no certificate with its key", "write both as PEM, the certificate before its chain")
	}
	c.pair, c.read = &pair, at
	return nil
}

func (c *certificate) stamp() (s stamp, err error) {
	if s.cert, err = stampOf(c.files.CertFile); err == nil {
		s.key, err = stampOf(c.files.KeyFile)
	}
	return s, err
}

func stampOf(path string) (fileStamp, error) {
	info, err := os.Stat(path)
	if err != nil {
		return fileStamp{}, err
	}
	return fileStamp{info.ModTime(), info.Size()}, nil
}

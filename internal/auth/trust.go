package auth

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// trustEvery is how long a changed file may wait to be seen.
	trustEvery = time.Second
	// maxVerified bounds the certificates that are remembered as verified.
	maxVerified = 10_000
)

// trust is whose certificates are good, as two files say.
type trust struct {
	caFile, crlFile string
	now             func() time.Time
	log             *slog.Logger

	mu      sync.Mutex
	looked  time.Time // when the files were looked at last
	seen    [2]fileStamp
	anchors *anchors
}

type fileStamp struct {
	modified time.Time
	size     int64
}

// anchors are what one version of the files holds.
type anchors struct {
	roots *x509.CertPool
	lists map[string]*revocations // by the issuer's raw name

	mu   sync.Mutex
	good map[[sha256.Size]byte]time.Time // chains that were verified: until when
}

// revocations are a CA's.
type revocations struct {
	until   time.Time // when the next list is due; zero: never
	serials map[string]bool
}

func newTrust(caFile, crlFile string, now func() time.Time, log *slog.Logger) (*trust, error) {
	if now == nil {
		now = time.Now
	}
	t := &trust{caFile: caFile, crlFile: crlFile, now: now, log: log, looked: now()}
	var err error
	if t.seen, err = t.stamps(); err == nil {
		t.anchors, err = readAnchors(caFile, crlFile)
	}
	return t, unreadable(err)
}

func unreadable(err error) error {
	return fault.Wrap(err, fault.Invalid, "HX-MTLS-003", "tls.client_ca_file or tls.client_crl_file cannot be used",
		"give the CAs' certificates as PEM, and lists that these CAs signed")
}

// current returns the anchors, of the files as they are.
func (t *trust) current() *anchors {
	t.look(false)
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.anchors
}

// look reads the files again if they changed; not more often than every second
// unless it must. Files that are no good leave what was.
func (t *trust) look(must bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if !must && now.Sub(t.looked) < trustEvery {
		return
	}
	t.looked = now
	seen, err := t.stamps()
	if err == nil && seen == t.seen {
		return
	}
	if err == nil {
		t.seen = seen
		var next *anchors
		if next, err = readAnchors(t.caFile, t.crlFile); err == nil {
			t.anchors = next
			t.log.Info("the CAs of the clients were read again")
			return
		}
	}
	t.log.Warn("the CAs of the clients were not read again: the old ones stay", "error", fault.Detail(unreadable(err)))
}

func (t *trust) stamps() (s [2]fileStamp, err error) {
	for i, path := range []string{t.caFile, t.crlFile} {
		if path == "" {
			continue
		}
		info, err := os.Stat(path)
		if err != nil {
			return s, err
		}
		s[i] = fileStamp{info.ModTime(), info.Size()}
	}
	return s, nil
}

func readAnchors(caFile, crlFile string) (*anchors, error) {
	cas, err := blocks(caFile, "CERTIFICATE", x509.ParseCertificate)
	if err != nil {
		return nil, err
	}
	a := &anchors{roots: x509.NewCertPool(), lists: map[string]*revocations{}, good: map[[sha256.Size]byte]time.Time{}}
	for _, ca := range cas {
		a.roots.AddCert(ca)
	}
	if crlFile == "" {
		return a, nil
	}
	lists, err := blocks(crlFile, "X509 CRL", x509.ParseRevocationList)
	if err != nil {
		return nil, err
	}
	for _, list := range lists {
		if !signedByOne(list, cas) {
			return nil, errors.New("a list of revocations is signed by none of the CAs")
		}
		r := &revocations{until: list.NextUpdate, serials: map[string]bool{}}
		for i := range list.RevokedCertificateEntries {
			r.serials[list.RevokedCertificateEntries[i].SerialNumber.String()] = true
		}
		a.lists[string(list.RawIssuer)] = r
	}
	return a, nil
}

// blocks reads all PEM blocks of a type.
func blocks[T any](path, kind string, parse func(der []byte) (T, error)) (all []T, err error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != kind {
			continue
		}
		one, err := parse(block.Bytes)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, errors.New(path + " holds no PEM block " + kind)
	}
	return all, nil
}

func signedByOne(list *x509.RevocationList, cas []*x509.Certificate) bool {
	for _, ca := range cas {
		if bytes.Equal(ca.RawSubject, list.RawIssuer) && list.CheckSignatureFrom(ca) == nil {
			return true
		}
	}
	return false
}

// verify tells whether a client's chain, its own certificate first, is good now.
func (t *trust) verify(chain []*x509.Certificate) error {
	a, now := t.current(), t.now()
	digest := sha256.New()
	for _, c := range chain {
		digest.Write(c.Raw)
	}
	key := [sha256.Size]byte(digest.Sum(nil))
	a.mu.Lock()
	until, known := a.good[key]
	a.mu.Unlock()
	if known && now.Before(until) {
		return nil
	}
	until, err := a.verify(chain, now)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.good) >= maxVerified {
		clear(a.good)
	}
	a.good[key] = until
	return nil
}

// verify returns until when the chain is good if nothing changes.
func (a *anchors) verify(chain []*x509.Certificate, now time.Time) (until time.Time, err error) {
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	paths, err := chain[0].Verify(x509.VerifyOptions{
		Roots: a.roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return until, err
	}
	for _, path := range paths {
		if until, err = a.live(path, now); err == nil {
			return until, nil
		}
	}
	return until, err
}

// live tells whether none on a path from a certificate to its root was revoked. A
// list whose successor is due tells nothing any more: then nobody of that CA passes.
func (a *anchors) live(path []*x509.Certificate, now time.Time) (until time.Time, err error) {
	until = path[0].NotAfter
	for _, c := range path {
		if c.NotAfter.Before(until) {
			until = c.NotAfter
		}
		list := a.lists[string(c.RawIssuer)]
		switch {
		case list == nil:
			continue
		case list.serials[c.SerialNumber.String()]:
			return until, errors.New("the certificate was revoked")
		case !list.until.IsZero() && !now.Before(list.until):
			return until, errors.New("the CA's list of revocations is out of date")
		case !list.until.IsZero() && list.until.Before(until):
			until = list.until
		}
	}
	return until, nil
}

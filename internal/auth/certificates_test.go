package auth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// authority issues certificates.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	last int64
}

func newAuthority(t *testing.T, name string) *authority {
	t.Helper()
	a := &authority{t: t, key: newKey(t)}
	form := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, form, form, a.key.Public(), a.key)
	must(t, err)
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.last = 1
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return k
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

// client issues a certificate for clients, changed by edit.
func (a *authority) client(edit func(c *x509.Certificate)) tls.Certificate {
	a.t.Helper()
	a.last++
	form := &x509.Certificate{
		SerialNumber: big.NewInt(a.last), NotBefore: time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	edit(form)
	key := newKey(a.t)
	der, err := x509.CreateCertificate(rand.Reader, form, a.cert, key.Public(), a.key)
	must(a.t, err)
	leaf, err := x509.ParseCertificate(der)
	must(a.t, err)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

func (a *authority) named(name string) tls.Certificate {
	return a.client(func(c *x509.Certificate) { c.Subject.CommonName = name })
}

// list signs a list of revocations that is good for a while.
func (a *authority) list(good time.Duration, serials ...*big.Int) []byte {
	a.t.Helper()
	form := &x509.RevocationList{Number: big.NewInt(time.Now().UnixNano()), ThisUpdate: time.Now().Add(-time.Minute), NextUpdate: time.Now().Add(good)}
	for _, s := range serials {
		form.RevokedCertificateEntries = append(form.RevokedCertificateEntries, x509.RevocationListEntry{SerialNumber: s, RevocationTime: time.Now()})
	}
	der, err := x509.CreateRevocationList(rand.Reader, form, a.cert, a.key)
	must(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}

func (a *authority) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw})
}

// guarded is a TLS server whose clients show certificates.
type guarded struct {
	*httptest.Server

	t            *testing.T
	dir          string
	certificates *auth.Certificates
}

func newGuarded(t *testing.T, ca *authority, crl []byte, now func() time.Time, holders ...auth.Holder) *guarded {
	t.Helper()
	g := &guarded{t: t, dir: t.TempDir()}
	g.put("ca.pem", ca.pem())
	list := ""
	if crl != nil {
		g.put("crl.pem", crl)
		list = filepath.Join(g.dir, "crl.pem")
	}
	var err error
	g.certificates, err = auth.NewCertificates(filepath.Join(g.dir, "ca.pem"), list, holders, accounts{"acme"}, now, slog.New(slog.DiscardHandler))
	must(t, err)
	ring := auth.NewRing(auth.NewKey(sha256.Sum256([]byte(key)), operator()), &shelf{}, nil)
	who := auth.NewCredentials(ring, nil, g.certificates)
	g.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, err := who.Authenticate(r)
		if err != nil {
			_, _ = io.WriteString(w, fault.As(err).Code)
			return
		}
		_, _ = io.WriteString(w, p.Name())
	}))
	g.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	g.EnableHTTP2 = true
	g.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, ClientCAs: g.certificates.Authorities(), VerifyConnection: g.certificates.VerifyConnection}
	g.StartTLS()
	t.Cleanup(g.Close)
	return g
}

func (g *guarded) put(name string, text []byte) {
	g.t.Helper()
	must(g.t, os.WriteFile(filepath.Join(g.dir, name), text, 0o600))
}

// client makes connections that show certificates.
func (g *guarded) client(certs ...tls.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(g.Certificate())
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{
		RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(4),
		// The test shows what it wants, whatever the server asks for.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			if len(certs) == 0 {
				return &tls.Certificate{}, nil
			}
			return &certs[0], nil
		},
	}}
	g.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// ask returns who the caller is, the code of a refusal, or that there was no answer.
func (g *guarded) ask(c *http.Client, headers ...string) string {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), http.MethodGet, g.URL, http.NoBody)
	must(g.t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		return "refused"
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	must(g.t, err)
	return string(text)
}

func link(t *testing.T, text string) *url.URL {
	t.Helper()
	u, err := url.Parse(text)
	must(t, err)
	return u
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ours"), newAuthority(t, "theirs")
	known := ca.client(func(*x509.Certificate) {})
	sum := sha256.Sum256(known.Certificate[0])
	digest := hex.EncodeToString(sum[:])
	revoked := ca.named("ci")
	g := newGuarded(t, ca, ca.list(time.Hour, revoked.Leaf.SerialNumber), nil,
		auth.Holder{Certificate: "sha256:" + digest, Tenant: "acme", Role: tenant.Admin},
		auth.Holder{Certificate: "uri:spiffe://acme/ci", Tenant: "acme", Role: tenant.Operator},
		auth.Holder{Certificate: "dns:ci.acme.example", Tenant: "acme", Role: tenant.Operator},
		auth.Holder{Certificate: "email:ci@acme.example", Tenant: "acme", Role: tenant.Operator},
		auth.Holder{Certificate: "cn:ci", Tenant: "acme", Role: tenant.Operator},
		auth.Holder{Certificate: "cn:lost", Tenant: "nowhere", Role: tenant.Operator},
	)
	for name, c := range map[string]struct {
		cert tls.Certificate
		want string
	}{
		"by fingerprint":         {known, "cert:sha256:" + digest},
		"by URI":                 {ca.client(func(c *x509.Certificate) { c.URIs = []*url.URL{link(t, "spiffe://acme/ci")} }), "cert:uri:spiffe://acme/ci"},
		"by DNS":                 {ca.client(func(c *x509.Certificate) { c.DNSNames = []string{"ci.acme.example"} }), "cert:dns:ci.acme.example"},
		"by email":               {ca.client(func(c *x509.Certificate) { c.EmailAddresses = []string{"ci@acme.example"} }), "cert:email:ci@acme.example"},
		"by common name":         {ca.named("ci"), "cert:cn:ci"},
		"nobody's":               {ca.named("somebody"), "HX-MTLS-002"},
		"a name of another kind": {ca.client(func(c *x509.Certificate) { c.DNSNames = []string{"ci"}; c.EmailAddresses = []string{"cn:ci"} }), "HX-MTLS-002"},
		"of a lost tenant":       {ca.named("lost"), "HX-TENANT-001"},
		"of another CA":          {other.named("ci"), "refused"},
		"revoked":                {revoked, "refused"},
		"expired":                {ca.client(func(c *x509.Certificate) { c.Subject.CommonName = "ci"; c.NotAfter = time.Now().Add(-time.Second) }), "refused"},
		"not valid yet":          {ca.client(func(c *x509.Certificate) { c.Subject.CommonName = "ci"; c.NotBefore = time.Now().Add(time.Minute) }), "refused"},
		"of a server": {ca.client(func(c *x509.Certificate) {
			c.Subject.CommonName = "ci"
			c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		}), "refused"},
	} {
		if got := g.ask(g.client(c.cert)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	good := g.client(ca.named("ci"))
	for name, c := range map[string]struct {
		client  *http.Client
		headers []string
		want    string
	}{
		"a certificate and a key":           {good, []string{"X-Api-Key", key}, "key:default"},
		"a certificate and a bearer":        {good, []string{"Authorization", "Bearer " + key}, "key:default"},
		"a certificate and a wrong key":     {good, []string{"X-Api-Key", key + "x"}, "HX-AUTH-011"},
		"a certificate and an empty key":    {good, []string{"X-Api-Key", ""}, "HX-AUTH-010"},
		"a certificate and a Basic":         {good, []string{"Authorization", "Basic eDp5"}, "HX-AUTH-010"},
		"no certificate and a key":          {g.client(), []string{"X-Api-Key", key}, "key:default"},
		"nothing":                           {g.client(), nil, "HX-AUTH-010"},
		"headers that speak of one":         {g.client(), spoofed(ca), "HX-AUTH-010"},
		"headers of another certificate":    {good, spoofed(ca), "cert:cn:ci"},
		"a certificate of nobody and a key": {g.client(ca.named("somebody")), []string{"X-Api-Key", key}, "key:default"},
	} {
		if got := g.ask(c.client, c.headers...); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// spoofed are the headers by which proxies hand a certificate on.
func spoofed(ca *authority) []string {
	text := url.QueryEscape(string(ca.pem()))
	return []string{
		"X-Client-Cert", text, "X-Ssl-Client-Cert", text, "X-Ssl-Client-Verify", "SUCCESS", "X-Ssl-Client-S-Dn", "CN=ci", "Ssl-Client-Subject-Dn", "CN=ci",
		"X-Forwarded-Client-Cert", `Hash=1;URI=spiffe://acme/ci;Subject="CN=ci"`, "X-Client-Verify", "SUCCESS", "Client-Cert", ":" + text + ":",
	}
}

// TestTrustIsReadAgain: what the files say counts from the next request on, for open
// connections and resumed sessions, too; files that are no good change nothing.
func TestTrustIsReadAgain(t *testing.T) {
	t.Parallel()
	ca, next := newAuthority(t, "ours"), newAuthority(t, "the next")
	c := &clock{}
	g := newGuarded(t, ca, ca.list(45*time.Minute), c.now, auth.Holder{Certificate: "cn:ci", Tenant: "acme", Role: tenant.Operator})
	one, two := ca.named("ci"), ca.named("ci")
	open, also := g.client(one), g.client(two)
	want := func(client *http.Client, want string) {
		t.Helper()
		if got := g.ask(client); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	want(open, "cert:cn:ci")
	want(also, "cert:cn:ci")
	g.put("crl.pem", []byte("half a lis"))
	g.certificates.Reload()
	want(open, "cert:cn:ci")
	g.put("crl.pem", next.list(time.Hour, one.Leaf.SerialNumber)) // of a CA that is none of ours
	g.certificates.Reload()
	want(open, "cert:cn:ci")

	g.put("crl.pem", ca.list(45*time.Minute, one.Leaf.SerialNumber))
	g.certificates.Reload()
	want(open, "HX-MTLS-001") // over the open connection
	open.CloseIdleConnections()
	want(open, "refused") // by its session ticket
	want(also, "cert:cn:ci")

	c.move(30 * time.Minute)
	want(also, "cert:cn:ci")
	c.move(20 * time.Minute)
	want(also, "HX-MTLS-001") // the list is out of date
	g.put("ca.pem", next.pem())
	g.put("crl.pem", next.list(2*time.Hour))
	c.move(2 * time.Second) // without a signal
	want(also, "HX-MTLS-001")
	fresh := g.client(next.named("ci"))
	want(fresh, "cert:cn:ci")
	c.move(20 * time.Minute)
	want(fresh, "HX-MTLS-001") // it has expired
}

func TestTrustRefusesFiles(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "ours"), newAuthority(t, "theirs")
	dir := t.TempDir()
	put := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		must(t, os.WriteFile(path, text, 0o600))
		return path
	}
	cas, none := put("ca.pem", ca.pem()), put("none.pem", []byte("none"))
	for name, c := range map[string]struct{ ca, crl string }{
		"no CAs":               {none, ""},
		"no such file":         {filepath.Join(dir, "missing"), ""},
		"no list":              {cas, none},
		"no such list":         {cas, filepath.Join(dir, "missing")},
		"a list of another CA": {cas, put("other.pem", other.list(time.Hour))},
		"a list as the CA":     {put("list.pem", ca.list(time.Hour)), ""},
	} {
		_, err := auth.NewCertificates(c.ca, c.crl, nil, accounts{}, nil, slog.New(slog.DiscardHandler))
		if e, ok := errors.AsType[*fault.Error](err); !ok || e.Code != "HX-MTLS-003" || e.Kind != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, good := range map[string]bool{
		"uri:spiffe://a/b": true, "dns:a": true, "email:a@b": true, "cn:a b": true, "sha256:" + strings.Repeat("0a", 32): true,
		"": false, "a": false, "cn:": false, "serial:1": false, "sha256:" + strings.Repeat("0A", 32): false, "sha256:00": false,
	} {
		if why := auth.CheckHolder(text); (why == "") != good {
			t.Errorf("%q: %q", text, why)
		}
	}
}

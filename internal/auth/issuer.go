package auth

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	issuerTime      = 5 * time.Second // for both questions
	maxIssuerAnswer = 256 << 10       // bytes
	discoveryPath   = "/.well-known/openid-configuration"
)

// Issuer is an OpenID Connect issuer.
type Issuer struct {
	url    string
	client *http.Client
}

// Metadata is what an issuer says of itself (OpenID Connect Discovery).
type Metadata struct {
	Issuer string `json:"issuer"`
	Keys   string `json:"jwks_uri"`
	Device string `json:"device_authorization_endpoint"`
	Token  string `json:"token_endpoint"`
	Revoke string `json:"revocation_endpoint"`
}

// CheckIssuer tells why a text is no issuer; "" if it is one. Plain HTTP is for
// issuers on this machine.
func CheckIssuer(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return "is no URL of the form https://HOST/PATH"
	case !Confidential(u):
		return "is not https: what it says of its keys could be anybody's word"
	}
	return ""
}

// Confidential tells whether what is sent to a URL stays between both ends: by TLS, or
// on this machine.
func Confidential(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// NewIssuer makes an Issuer. It asks nothing yet. trust may be nil: then the system's
// CAs are trusted.
func NewIssuer(issuer string, trust *tls.Config) *Issuer {
	return &Issuer{url: issuer, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: trust, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute, MaxIdleConns: 2,
			ResponseHeaderTimeout: issuerTime, TLSHandshakeTimeout: issuerTime,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Client carries requests to the issuer. It follows no redirect.
func (i *Issuer) Client() *http.Client { return i.client }

// Metadata asks the issuer for what it says of itself. Kind Unavailable.
func (i *Issuer) Metadata(ctx context.Context) (m Metadata, err error) {
	ctx, cancel := context.WithTimeout(ctx, issuerTime)
	defer cancel()
	err = i.get(ctx, strings.TrimSuffix(i.url, "/")+discoveryPath, &m)
	if err == nil && m.Issuer != i.url {
		err = fmt.Errorf("it calls itself %.200q", m.Issuer)
	}
	return m, fault.Wrap(err, fault.Unavailable, "HX-OIDC-007", "the issuer "+i.url+" cannot be asked", "try again; if it lasts, look at the issuer, and at how it is named")
}

// keys asks the issuer where its keys are, and for them. Kind Unavailable.
func (i *Issuer) keys(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(ctx, issuerTime)
	defer cancel()
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	m, err := i.Metadata(ctx)
	if err == nil {
		err = i.get(ctx, m.Keys, &set)
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Unavailable, "HX-OIDC-008", "the keys of the issuer "+i.url+" are not to be had, so that nobody can tell whether the token is good",
			"try again; if it lasts, look at the issuer and at security.oidc")
	}
	keys := make([]jose.JSONWebKey, 0, len(set.Keys))
	for _, text := range set.Keys {
		var k jose.JSONWebKey
		if json.Unmarshal(text, &k) == nil { // of a kind that we do not know: others may be
			keys = append(keys, k)
		}
	}
	return keys, nil
}

func (i *Issuer) get(ctx context.Context, from string, out any) error {
	u, err := url.Parse(from)
	if err != nil || !Confidential(u) {
		return fmt.Errorf("%.200q is no URL by https", from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return err
	}
	req.Header.Set("Accept", "application/json")
	res, err := i.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", from, res.Status)
	}
	return json.NewDecoder(io.LimitReader(res.Body, maxIssuerAnswer)).Decode(out)
}

// Package auth finds out who calls. What a caller may do is in the
// tenant.Principal that it returns.
package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Key lets in whoever holds the API key. It keeps the key's digest only.
type Key struct {
	digest    Digest
	principal tenant.Principal
}

// NewKey makes the authenticator of the key with this digest: its holder is p.
func NewKey(d Digest, p tenant.Principal) *Key { return &Key{digest: d, principal: p} }

// Authenticate looks for the key in the header `Authorization: Bearer KEY` or
// `X-API-Key: KEY`, never in the URL, which ends up in logs. Kind
// Unauthenticated. It takes the same time for every wrong key.
func (k *Key) Authenticate(r *http.Request) (tenant.Principal, error) {
	given := credential(r.Header)
	if given == "" {
		return tenant.Principal{}, fault.New(fault.Unauthenticated, "HX-AUTH-010", "the request carries no API key",
			"send the header `Authorization: Bearer KEY` or `X-API-Key: KEY`; the daemon's log says where it keeps the key, and GET /auth/config what else it takes")
	}
	sum := digestOf(given)
	if subtle.ConstantTimeCompare(sum[:], k.digest[:]) != 1 {
		return tenant.Principal{}, fault.New(fault.Unauthenticated, "HX-AUTH-011", "the API key is wrong",
			"compare it with the key file of the daemon (auth.key_file)")
	}
	return k.principal, nil
}

func digestOf(key string) Digest { return sha256.Sum256([]byte(key)) }

func credential(h http.Header) string {
	scheme, token, found := strings.Cut(h.Get("Authorization"), " ")
	if found && strings.EqualFold(scheme, "Bearer") {
		return strings.TrimSpace(token)
	}
	return strings.TrimSpace(h.Get("X-Api-Key"))
}

// Loopback lets in everybody who reaches a daemon that listens on this machine
// only. It insists on being called by a name of this machine: a page in a browser
// may point a name of its own at 127.0.0.1, and would count as of the same
// origin (DNS rebinding).
type Loopback struct{ principal tenant.Principal }

// NewLoopback makes the authenticator: every caller is p.
func NewLoopback(p tenant.Principal) *Loopback { return &Loopback{principal: p} }

// Authenticate looks at the Host header. Kind Denied.
func (l *Loopback) Authenticate(r *http.Request) (tenant.Principal, error) {
	if !isLoopback(r.Host) {
		return tenant.Principal{}, fault.New(fault.Denied, "HX-AUTH-012", "without authentication the API answers to localhost only",
			"call it as http://localhost or http://127.0.0.1, or turn auth.disabled off")
	}
	return l.principal, nil
}

func isLoopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

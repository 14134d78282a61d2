// Package egress makes the calls that a tenant asks for. Where they go is decided
// when the connection is made, by the address that the name resolved to: names
// that change their address, odd spellings and proxies do not get around it.
package egress

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"code.dny.dev/ssrf"
)

// Limits of a call, besides the caller's own deadline.
const (
	dialTime   = 10 * time.Second
	headerSize = 16 << 10 // of an answer
)

// ErrBlocked is the error of a call to an address that is not for tenants.
var ErrBlocked = errors.New("the address is not public, or the port is not allowed")

// Policy says where calls may go. The zero value allows https to public addresses
// on the default ports.
type Policy struct {
	// Private are networks that may be called although they are not public: on any
	// port, and without TLS.
	Private []netip.Prefix
	// Ports are those of public addresses; nil: DefaultPorts.
	Ports []uint16
	// Resolver finds addresses; nil: the system's.
	Resolver *net.Resolver
}

// DefaultPorts are the ports of public addresses that may be called.
func DefaultPorts() []uint16 { return []uint16{443, 8443} }

// metadata are addresses that look public and belong to the cloud that the daemon
// runs in: 168.63.129.16 is Azure's.
var metadata = []netip.Prefix{netip.MustParsePrefix("168.63.129.16/32")}

// nested are ways to write an IPv4 address as an IPv6 one, from whose last bytes a
// gateway takes it.
var nested = []netip.Prefix{
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"),
}

// Client makes an HTTP client that keeps to the policy: no proxy, no redirect, no
// decompression, no cookies, a connection of its own for each call.
func (p Policy) Client() *http.Client {
	return &http.Client{
		Transport:     &transport{secure: p.transport(false), plain: p.transport(true)},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func (p Policy) transport(plain bool) *http.Transport {
	guard := p.guard(plain)
	dialer := &net.Dialer{
		Timeout: dialTime, Resolver: p.Resolver,
		ControlContext: func(_ context.Context, network, address string, _ syscall.RawConn) error {
			return guard(network, address)
		},
	}
	return &http.Transport{
		DialContext: dialer.DialContext, ForceAttemptHTTP2: true, // no Proxy: it would resolve the name itself
		TLSHandshakeTimeout: dialTime, DisableKeepAlives: true, DisableCompression: true,
		MaxResponseHeaderBytes: headerSize,
	}
}

// transport keeps calls without TLS to private networks.
type transport struct{ secure, plain *http.Transport }

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	switch r.URL.Scheme {
	case "https":
		return t.secure.RoundTrip(r)
	case "http":
		return t.plain.RoundTrip(r)
	}
	if r.Body != nil {
		_ = r.Body.Close() // as the interface demands
	}
	return nil, ErrBlocked
}

// guard judges an address that is about to be connected to.
func (p Policy) guard(plain bool) func(network, address string) error {
	ports := p.Ports
	if ports == nil {
		ports = DefaultPorts()
	}
	public := ssrf.New(ssrf.WithPorts(ports...), ssrf.WithDeniedV4Prefixes(metadata...))
	return func(network, address string) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil || !slices.Contains([]string{"tcp", "tcp4", "tcp6"}, network) {
			return ErrBlocked
		}
		ip := at.Addr().Unmap().WithZone("")
		if contains(p.Private, ip) {
			return nil
		}
		if plain || contains(nested, ip) || public.SafeAddrPort(netip.AddrPortFrom(ip, at.Port())) != nil {
			return ErrBlocked
		}
		return nil
	}
}

func contains(networks []netip.Prefix, ip netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(ip) })
}

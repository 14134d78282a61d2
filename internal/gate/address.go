package gate

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Proxies are the networks of the proxies that are believed when they say whom
// they speak for. The zero value believes nobody.
type Proxies []netip.Prefix

// maxHops bounds how many proxies are followed.
const maxHops = 32

// client finds the address of who sent the request: the peer's, or, if that is a
// trusted proxy, the rightmost one of X-Forwarded-For that is not. What stands left
// of it is the caller's own word. The zero Addr stands for a peer without one.
func (p Proxies) client(r *http.Request) netip.Addr {
	peer, ok := parseAddr(r.RemoteAddr)
	if !ok || !p.trusts(peer) {
		return peer
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i, hop := range slices.Backward(hops) {
		addr, ok := parseAddr(strings.TrimSpace(hop))
		if !ok || len(hops)-i > maxHops {
			return peer // the last one that somebody trusted vouched for
		}
		peer = addr
		if !p.trusts(addr) {
			return addr
		}
	}
	return peer
}

// TLS tells whether the client speaks TLS: with this daemon, or with a trusted proxy
// that says so.
func (p Proxies) TLS(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	peer, ok := parseAddr(r.RemoteAddr)
	return ok && p.trusts(peer) && strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
}

func (p Proxies) trusts(a netip.Addr) bool {
	return slices.ContainsFunc(p, func(n netip.Prefix) bool { return n.Contains(a) })
}

// parseAddr reads an address with or without a port. IPv4 has one spelling, and a
// zone is left out.
func parseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		ap, err := netip.ParseAddrPort(s)
		if err != nil {
			return netip.Addr{}, false
		}
		a = ap.Addr()
	}
	return a.WithZone("").Unmap(), true
}

// network is what counts as one client: an IPv4 address, or a /64, of which
// whoever has one address has all.
func network(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	return netip.PrefixFrom(a, 64).Masked().Addr()
}

package daemon

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/hypersdk/hypersdk/internal/gate"
)

// SecurityConfig bounds what callers may do to the daemon.
type SecurityConfig struct {
	RateLimit RateLimitConfig `yaml:"rate_limit"`
	// TrustedProxies are the networks of the proxies whose X-Forwarded-For is
	// believed.
	TrustedProxies []string `yaml:"trusted_proxies"`
	// Anonymous bounds how often each client may call what asks for no credential.
	Anonymous AnonymousConfig `yaml:"anonymous"`
	// ProbeNetworks are where health probes and scrapers come from: connections are
	// kept for them when there are no others, and Anonymous does not hold for them.
	ProbeNetworks []string          `yaml:"probe_networks"`
	Connections   ConnectionsConfig `yaml:"connections"`
	OIDC          OIDCConfig        `yaml:"oidc"`
}

// RateLimitConfig bounds how often each principal may call, on each node.
type RateLimitConfig struct {
	Enabled           bool `yaml:"enabled"`
	RequestsPerMinute int  `yaml:"requests_per_minute"` // of all operations together
	Burst             int  `yaml:"burst"`               // requests at once
	// PerEndpoint holds the requests per minute of single endpoints, which then
	// do not count for the others: /jobs/submit, or POST /jobs/submit, or the
	// operation's id. They hold for gRPC and GraphQL, too.
	PerEndpoint map[string]int `yaml:"per_endpoint"`
}

// AnonymousConfig bounds each client's calls of what is open to all: health, metrics,
// the documents and pages, gRPC's health and reflection, and what is not there.
type AnonymousConfig struct {
	Enabled           bool `yaml:"enabled"`
	RequestsPerMinute int  `yaml:"requests_per_minute"` // of one address (IPv6: one /64)
	Burst             int  `yaml:"burst"`               // requests at once
}

// defaultSecurity stops what runs wild, and no more.
func defaultSecurity() SecurityConfig {
	return SecurityConfig{
		RateLimit:     RateLimitConfig{Enabled: true, RequestsPerMinute: 60_000, Burst: 10_000},
		Anonymous:     AnonymousConfig{Enabled: true, RequestsPerMinute: 1200, Burst: 600},
		ProbeNetworks: []string{"127.0.0.0/8", "::1/128"}, Connections: defaultConnections(), OIDC: defaultOIDC(),
	}
}

func (s SecurityConfig) check() (wrong []string) {
	if what := s.RateLimit.rates().Check(); what != "" {
		wrong = append(wrong, "security.rate_limit."+what)
	}
	if what := (gate.Rates{PerMinute: s.Anonymous.RequestsPerMinute, Burst: s.Anonymous.Burst}).Check(); what != "" {
		wrong = append(wrong, "security.anonymous."+what)
	}
	wrong = append(wrong, checkNetworks("security.trusted_proxies", s.TrustedProxies)...)
	wrong = append(wrong, checkNetworks("security.probe_networks", s.ProbeNetworks)...)
	return append(append(wrong, s.Connections.check()...), s.OIDC.check()...)
}

func checkNetworks(key string, all []string) (wrong []string) {
	for _, text := range all {
		if _, err := netip.ParsePrefix(text); err != nil {
			wrong = append(wrong, fmt.Sprintf("%s: %q is not of the form 10.0.0.0/8", key, text))
		}
	}
	return wrong
}

func (r RateLimitConfig) rates() gate.Rates {
	return gate.Rates{PerMinute: r.RequestsPerMinute, Burst: r.Burst, Own: r.PerEndpoint}
}

func (s SecurityConfig) proxies() gate.Proxies { return networks(s.TrustedProxies) }

// networks are valid: check looked at them.
func networks(texts []string) []netip.Prefix {
	all := make([]netip.Prefix, 0, len(texts))
	for _, text := range texts {
		if n, err := netip.ParsePrefix(text); err == nil {
			all = append(all, n.Masked())
		}
	}
	return all
}

// limits are nil if there are none.
func (s SecurityConfig) limits() *gate.Limits {
	if !s.RateLimit.Enabled {
		return nil
	}
	return gate.NewLimits(s.RateLimit.rates(), nil)
}

// gate makes what all doors ask. limits may be nil.
func (s SecurityConfig) gate(who gate.Authenticator, limits *gate.Limits) *gate.Gate {
	var limiter gate.Limiter
	if limits != nil { // a nil pointer in an interface is not a nil interface
		limiter = limits
	}
	g := gate.New(who, limiter).Behind(s.proxies(), nil)
	if s.Anonymous.Enabled {
		g.LimitStrangers(s.Anonymous.RequestsPerMinute, s.Anonymous.Burst, networks(s.ProbeNetworks), nil)
	}
	return g
}

// isLoopback tells whether only this machine reaches the address of a listener.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	ip := net.ParseIP(host)
	return err == nil && (host == "localhost" || ip != nil && ip.IsLoopback())
}

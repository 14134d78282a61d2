package gate

import (
	"math"
	"net/http"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// strangers bound what one client may call that is open to all.
type strangers struct {
	rate   rate
	exempt []netip.Prefix
	taken  *buckets[netip.Addr]
	count  tally
}

// anonymous and refusedCredentials are the policies of callers who are nobody.
const (
	anonymous          = "anonymous"
	refusedCredentials = "credentials"
)

// LimitStrangers bounds how often one client may call what is open to all, except
// from the exempt networks: probes must not fail because somebody asks too much. now
// may be nil. It must be done after Behind and before the first request.
func (g *Gate) LimitStrangers(perMinute, burst int, exempt []netip.Prefix, now func() time.Time) {
	if now == nil {
		now = time.Now
	}
	g.strangers = &strangers{rate: rate{perMinute, burst}, exempt: exempt, taken: newBuckets[netip.Addr](now)}
}

// Stranger takes one turn of the client's for a call that is open to all. Kind
// Exhausted; the Allowance holds then, too.
func (g *Gate) Stranger(r *http.Request) (Allowance, error) {
	s := g.strangers
	if s == nil {
		return Allowance{}, nil
	}
	client := g.proxies.client(r)
	if slices.ContainsFunc(s.exempt, func(n netip.Prefix) bool { return n.Contains(client) }) {
		s.count.note(true)
		return Allowance{}, nil
	}
	left, next, ok := s.taken.take(network(client), s.rate)
	s.count.note(ok)
	a := s.rate.allowance(anonymous, left, next)
	if ok {
		return a, nil
	}
	return a, fault.Newf(fault.Exhausted, "HX-GATE-005", "wait as long as Retry-After says; who runs the daemon can list your network in security.probe_networks",
		"the limit of %d requests per minute and address without a credential is reached; the next one is free in %d s", s.rate.perMinute, int(math.Ceil(next.Seconds())))
}

// Strikes tells how many more credentials of the client's may be refused before
// nobody looks at them.
func (g *Gate) Strikes(r *http.Request) Allowance {
	if g.strikes == nil {
		return Allowance{}
	}
	left, next, _ := g.strikes.look(network(g.proxies.client(r)), strike)
	return strike.allowance(refusedCredentials, left, next)
}

func (r rate) allowance(policy string, left int, next time.Duration) Allowance {
	return Allowance{Policy: policy, Limit: int64(r.perMinute), Window: time.Minute, Remaining: int64(left), Reset: next}
}

// tally counts what a limit let through and what not.
type tally struct{ allowed, refused atomic.Int64 }

func (t *tally) note(ok bool) {
	if ok {
		t.allowed.Add(1)
	} else {
		t.refused.Add(1)
	}
}

// Counts tells of each limit what it let through and refused since the start, and how
// many callers it remembers.
func (g *Gate) Counts(tell func(limit string, allowed, refused int64, buckets int)) {
	one := func(limit string, t *tally, buckets int) { tell(limit, t.allowed.Load(), t.refused.Load(), buckets) }
	if l, ok := g.limiter.(*Limits); ok {
		one("principal", &g.charged, l.taken.len())
	}
	if s := g.strangers; s != nil {
		one(anonymous, &s.count, s.taken.len())
	}
	if g.strikes != nil {
		one(refusedCredentials, &g.entered, g.strikes.len())
	}
}

// Package gate is what every request passes, by whichever door it comes: it finds
// out who calls and from where, and how often that caller may.
package gate

import (
	"context"
	"net/http"
	"net/netip"
	"regexp"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// Authenticator tells who calls. Kinds: Unauthenticated, Denied, NotFound (the tenant
// of somebody known is not there); any other kind is a failure of the daemon, not of the caller. It must not read the body.
type Authenticator interface {
	Authenticate(r *http.Request) (tenant.Principal, error)
}

// Limiter bounds how often a principal may do something.
type Limiter interface {
	// Take takes one turn. Kind Exhausted, with the time to wait, if none is left.
	Take(p tenant.Principal, operation string) (Allowance, error)
}

// Gate is shared by all doors. Its methods may be called concurrently.
type Gate struct {
	auth    Authenticator
	limiter Limiter
	proxies Proxies
	strikes *buckets[netip.Addr] // refused credentials; nil: not counted
	denied  func(d Denial)       // nil: nobody wants to know

	strangers        *strangers // nil: not limited
	charged, entered tally
}

// CodeGuessed is the code of a caller who is not looked at: Strikes tells how long.
const CodeGuessed = "HX-GATE-002"

// strike is how many credentials of one client may be refused.
var strike = rate{perMinute: 60, burst: 30}

// New makes a Gate. limiter may be nil: then nothing is limited.
func New(auth Authenticator, limiter Limiter) *Gate { return &Gate{auth: auth, limiter: limiter} }

// Behind makes the gate look for clients behind these proxies, and turn away
// those of whom too many credentials were refused. now may be nil. It must be done
// before the first Enter.
func (g *Gate) Behind(proxies Proxies, now func() time.Time) *Gate {
	if now == nil {
		now = time.Now
	}
	g.proxies, g.strikes = proxies, newBuckets[netip.Addr](now)
	return g
}

// Enter authenticates the request. The principal knows where it calls from. Kinds
// as those of the Authenticator, and Exhausted: then nobody looked at the
// credential, so that the answer tells nothing about it.
func (g *Gate) Enter(r *http.Request, door string) (tenant.Principal, error) {
	client := network(g.proxies.client(r))
	if g.strikes != nil {
		_, _, ok := g.strikes.look(client, strike)
		g.entered.note(ok)
		if !ok {
			return tenant.Principal{}, fault.New(fault.Exhausted, CodeGuessed, "too many credentials from this address were refused", "wait, and check the credential")
		}
	}
	p, err := g.Again(r, door)
	if g.strikes != nil && fault.Is(err, fault.Unauthenticated) {
		g.strikes.take(client, strike)
	}
	return p, err
}

// Again asks whether a request that entered may still be here. It is Enter, but
// what others do at the same address does not matter.
func (g *Gate) Again(r *http.Request, door string) (tenant.Principal, error) {
	from := tenant.Origin{IP: g.address(r), Door: door, RequestID: RequestID(r.Context()), TraceParent: traceParent(r)}
	p, err := g.auth.Authenticate(r)
	if err != nil {
		g.turnedAway(r, from, err)
		return tenant.Principal{}, err
	}
	tracing.Note(r.Context(), p.Words()...)
	return p.From(from), nil
}

// Peek tells whether somebody calls whom Enter would let in. It is for answers that
// tell strangers less: nobody is refused.
func (g *Gate) Peek(r *http.Request) bool {
	_, err := g.auth.Authenticate(r)
	return err == nil
}

// Charge takes one turn of an operation, named as the OpenAPI document names it:
// a caller has the same turns by every door. Kind Exhausted if none is left; the
// Allowance holds then, too.
//
// It is also where the trace learns what a call is: a door with one route for many
// operations has no other name for it.
func (g *Gate) Charge(ctx context.Context, p tenant.Principal, operation string) (Allowance, error) {
	tracing.Operation(ctx, p.Origin().Door, operation)
	if g.limiter == nil {
		return Allowance{}, nil
	}
	a, err := g.limiter.Take(p, operation)
	g.charged.note(err == nil)
	return a, err
}

// address is the client's; "" if it has none.
func (g *Gate) address(r *http.Request) string {
	if a := g.proxies.client(r); a.IsValid() {
		return a.String()
	}
	return ""
}

var traceParentForm = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceParent is the place of the request in its trace; where requests are not
// traced the caller's, if it has the form of the W3C's Trace Context.
func traceParent(r *http.Request) string {
	if v := tracing.Parent(r.Context()); v != "" {
		return v
	}
	if v := r.Header.Get("Traceparent"); traceParentForm.MatchString(v) {
		return v
	}
	return ""
}

// Package gate is what every request passes, by whichever door it comes: it finds
// out who calls and from where, and how often that caller may.
package gate

import (
	"context"
	"net"
	"net/http"
	"regexp"

	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// Authenticator tells who calls. Kinds: Unauthenticated, Denied; any other kind
// is a failure of the daemon, not of the caller. It must not read the body.
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
	denied  func(d Denial) // nil: nobody wants to know
}

// New makes a Gate. limiter may be nil: then nothing is limited.
func New(auth Authenticator, limiter Limiter) *Gate { return &Gate{auth: auth, limiter: limiter} }

// Enter authenticates the request. The principal knows where it calls from. Kinds
// as those of the Authenticator.
func (g *Gate) Enter(r *http.Request, door string) (tenant.Principal, error) {
	from := tenant.Origin{IP: address(r), Door: door, RequestID: RequestID(r.Context()), TraceParent: traceParent(r)}
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
	return g.limiter.Take(p, operation)
}

// address is the peer's.
func address(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return ""
	}
	return host
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

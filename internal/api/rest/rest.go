// Package rest is the HTTP door: it decodes a request strictly, makes one call of
// the service and encodes the answer (design §5). The OpenAPI document at
// /openapi.json is made of the same types that are decoded and encoded.
package rest

import (
	"context"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"go.opentelemetry.io/otel/trace"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/service"
)

// Deps are the parts that the door needs. All but Metrics, Observe, Health,
// Retention and Audit are required.
type Deps struct {
	Service   *service.Service
	Retention *service.Retention // nil: no such route
	Audit     *service.Audit     // nil: no such routes
	Inventory Inventory
	Gate      *gate.Gate
	Sessions  *auth.Sessions         // nil: no such routes
	Hall      *stream.Hall           // nil: one of the door's own
	Health    map[string]HealthCheck // by name, as GET /health shows it
	Metrics   http.Handler           // answers GET /metrics; nil: no such route
	Observe   Observer               // nil: nobody looks
	Tracer    trace.Tracer           // begins the span of each request; nil: none
	SignIn    SignIn                 // what everybody may know of how to sign in
	Doors     []Door
	Log       *slog.Logger
	Version   string
}

// Door is a way in beside the operations, on the same port. Pattern is
// http.ServeMux's. The door asks the gate by itself, unless it is Open to all.
type Door struct {
	Pattern string
	Handler http.Handler
	Open    bool
}

// Inventory lists the VMs of the configured providers. The empty provider name
// stands for the default one; an unknown name is kind NotFound.
type Inventory interface {
	// VMs returns those that match any of the patterns (inventory path with
	// globs, name, UUID, the provider's id); none given: all.
	VMs(ctx context.Context, providerName string, patterns ...string) ([]provider.VM, error)
	// VM returns the one that ref names. Kinds NotFound, Unprocessable (several).
	VM(ctx context.Context, providerName, ref string) (provider.VM, error)
}

// Observer is told of every request when it is over. route is the pattern that
// matched, never what the caller sent, or "other"; so is an unknown method.
// ctx is that of the request.
type Observer func(ctx context.Context, method, route string, status int, took time.Duration)

// API is the door. It is an http.Handler; serve it by NewServer.
type API struct {
	deps    Deps
	mux     *http.ServeMux
	huma    huma.API
	chain   http.Handler
	probes  []probe
	up      atomic.Bool // the start is over
	started time.Time
	body    time.Duration   // to send the body of a request
	write   time.Duration   // for one write of a stream
	crew    *crew           // runs the requests of HTTP/2
	guarded map[string]bool // the patterns of what asks the gate; anything else is open to all
	// closing tells whether the daemon stops.
	closing func() bool
}

// New makes the door. When ctx is done, /readyz says so and the event streams
// end, so that clients turn elsewhere; other requests are served until the
// http.Server is shut down.
func New(ctx context.Context, d Deps) (*API, error) {
	if d.Hall == nil {
		d.Hall = stream.NewHall(ctx, d.Gate)
	}
	a := &API{
		deps: d, mux: http.NewServeMux(), started: time.Now(), body: bodyTime, write: writeTime, probes: newProbes(d.Health, d.Log),
		crew: newCrew(ctx.Done()), guarded: map[string]bool{}, closing: func() bool { return ctx.Err() != nil },
	}
	a.huma = newHuma(a)
	a.routeJobs()
	a.routeCancel()
	a.routeUpdate()
	a.routeExplain()
	a.routeBandwidth()
	a.routeProfiles()
	a.routeEvents()
	a.routeLog()
	a.routeVMs()
	a.routeKeys()
	a.routeSession()
	a.routeTenants()
	a.routeUsage()
	a.routeStatus()
	a.routeIdentity()
	a.routeNodes()
	a.routeSchedules()
	a.routeWebhooks()
	a.routeRetention()
	a.routeAudit()
	a.routeAuditSinks()
	a.routeHealth()
	a.routeSchemas()
	if err := a.routeDocument(); err != nil {
		return nil, err
	}
	for _, door := range d.Doors {
		a.mux.Handle(door.Pattern, door.Handler)
		a.guarded[door.Pattern] = !door.Open
	}
	a.chain = a.middleware()
	return a, nil
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor < 2 {
		a.chain.ServeHTTP(w, r)
		return
	}
	a.crew.run(func() { a.chain.ServeHTTP(w, r) })
}

// Package grpc is the gRPC door: hypervisord.v1.HypervisordService, and the health
// and reflection services beside it, on the port of the REST API. It speaks gRPC,
// gRPC-Web and Connect (ADR 22). A call passes the gate, is read whole, and becomes
// one call of the service.
package grpc

import (
	"context"
	"log/slog"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connecthttp"
	"connectrpc.com/connect/v2/connectproto"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/service"
)

// Deps are the parts that the door needs. All but Retention and Audit are required.
type Deps struct {
	Service   *service.Service
	Retention *service.Retention // nil: the method is unimplemented
	Audit     *service.Audit     // nil: its methods are unimplemented
	Inventory Inventory
	Gate      *gate.Gate
	Hall      *stream.Hall                   // of all streams, by whichever door
	Ready     func(ctx context.Context) bool // as GET /readyz has it
	Log       *slog.Logger
	Version   string
}

// Inventory lists the VMs of the configured providers, as that of package rest.
type Inventory interface {
	VMs(ctx context.Context, providerName string, patterns ...string) ([]provider.VM, error)
	VM(ctx context.Context, providerName, ref string) (provider.VM, error)
}

// name is what events call this way in.
const name = "grpc"

// Limits of a call.
const (
	maxMessage = 1 << 20          // bytes of a message that comes in, also when it was compressed
	bodyTime   = 10 * time.Second // to send it
	writeTime  = 10 * time.Second // for one write of a stream: a reader that takes longer is dropped
	recheck    = 30 * time.Second // how often a stream asks whether its credential is still good
)

// Door is the way in. It is an http.Handler for the paths of Patterns.
type Door struct {
	deps     Deps
	server   *connect.Server
	handlers handlers
	methods  map[string]method // by procedure
	refusals *connecthttp.ErrorWriter
	started  time.Time
	stopping <-chan struct{} // closed when the daemon stops; onStop calls f then
	onStop   func(f func()) (detach func() bool)
	health   health
	recheck  time.Duration
	body     time.Duration // for the message to come
	write    time.Duration // for one write of a stream
}

// New makes the door. When ctx is done its streams end with Unavailable, so that
// clients turn elsewhere, and the health service says NOT_SERVING.
func New(ctx context.Context, deps Deps) *Door {
	d := &Door{
		deps: deps, server: connect.NewServer(), handlers: handlers{}, methods: map[string]method{}, started: time.Now(),
		stopping: ctx.Done(), onStop: func(f func()) func() bool { return context.AfterFunc(ctx, f) }, recheck: recheck, body: bodyTime, write: writeTime, refusals: connecthttp.NewErrorWriter(),
	}
	d.health.ready, d.health.every = deps.Ready, healthEvery
	d.routeJobs()
	d.routeStreams()
	d.routeProfiles()
	d.routeSchedules()
	d.routeTenants()
	d.routeKeys()
	d.routeWebhooks()
	d.routeDeliveries()
	d.routeAudit()
	d.routeDaemon()
	d.routeHealth()
	d.routeReflection()
	json := connectproto.NewJSONCodec()
	json.MarshalOptions.UseProtoNames = true
	json.UnmarshalOptions.DiscardUnknown = false
	connecthttp.Mount(d.handlers, d.server, connecthttp.WithReadMaxBytes(maxMessage), connecthttp.WithCompressMinBytes(compressFrom),
		connecthttp.WithCodecs(connectproto.NewBinaryCodec(), json))
	return d
}

// compressFrom is the smallest message that is worth the time, if the client takes
// compressed ones.
const compressFrom = 4 << 10

// Patterns are the paths that the door answers: one for each method, so that logs
// and metrics name it, and one for each service, for methods that it has not.
func (d *Door) Patterns() []string {
	patterns := []string{
		"POST /" + string(schema.FullName()) + "/", "POST /" + healthService + "/",
	}
	for spec := range d.server.Specs() {
		patterns = append(patterns, "POST "+spec.Procedure)
	}
	return patterns
}

// Package graph is the GraphQL door: the schema in schema/, resolvers of one call
// of the service each, and the limits that a query language needs (ADR 23).
package graph

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/99designs/gqlgen/graphql/executor"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/service"
)

// Pattern is where the door is, http.ServeMux's way.
const Pattern = "/graphql"

// door is what events call this way in.
const door = "graphql"

// Deps are the parts that the door needs. All but Retention and Audit are required.
type Deps struct {
	Service   *service.Service
	Retention *service.Retention // nil: runRetention is not found
	Audit     *service.Audit     // nil: its fields are not found
	Inventory Inventory
	Gate      *gate.Gate
	Hall      *stream.Hall
	Log       *slog.Logger
	Version   string
}

// Inventory lists the VMs of the configured providers. The empty provider name
// stands for the default one; an unknown name is kind NotFound.
type Inventory interface {
	VMs(ctx context.Context, providerName string, patterns ...string) ([]provider.VM, error)
	VM(ctx context.Context, providerName, ref string) (provider.VM, error)
}

// Door answers POST (JSON, or server-sent events) and WebSockets.
type Door struct {
	deps    Deps
	exec    *executor.Executor
	started time.Time
}

// New makes the door.
func New(d Deps) *Door {
	g := &Door{deps: d, started: time.Now()}
	g.exec = executor.New(NewExecutableSchema(Config{Resolvers: &root{g}, Directives: DirectiveRoot{Operation: g.charge}}))
	g.exec.SetParserTokenLimit(maxTokens)
	g.exec.SetErrorPresenter(g.present)
	g.exec.SetRecoverFunc(g.recovered)
	seen := newCache()
	g.exec.SetQueryCache(seen)
	g.exec.Use(&limits{seen: seen})
	g.exec.Use(plain{})
	return g
}

// ServeHTTP answers one request, or carries one WebSocket.
func (g *Door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case stream.Upgrades(r):
		g.serveSocket(w, r)
	case r.Method == http.MethodPost:
		g.servePost(w, r)
	default:
		w.Header().Set("Allow", http.MethodPost)
		g.refuse(w, r, errMethod)
	}
}

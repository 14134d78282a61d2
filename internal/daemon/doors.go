package daemon

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/api/grpc"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/version"
)

// grpc is the gRPC door, to be mounted beside the REST API. It stops with ctx.
func (d *Daemon) grpc(ctx context.Context, g *gate.Gate, ready func(ctx context.Context) bool) []rest.Door {
	door := grpc.New(ctx, grpc.Deps{
		Service: d.engine.Service, Retention: d.engine.retention, Audit: d.engine.audit, Inventory: d.engine, Gate: g, Hall: d.streams, Ready: ready,
		Log: d.log, Version: version.String(),
	})
	patterns := door.Patterns()
	doors := make([]rest.Door, len(patterns))
	for i, p := range patterns {
		doors[i] = rest.Door{Pattern: p, Handler: door}
	}
	return doors
}

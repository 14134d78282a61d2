package daemon

import (
	"github.com/hypersdk/hypersdk/internal/api/graph"
	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/version"
)

// graph makes the GraphQL door.
func (d *Daemon) graph(entry *gate.Gate) rest.Door {
	return rest.Door{Pattern: graph.Pattern, Handler: graph.New(graph.Deps{
		Service: d.engine.Service, Retention: d.engine.retention, Inventory: d.engine, Gate: entry, Hall: d.streams,
		Log: d.log, Version: version.String(),
	})}
}

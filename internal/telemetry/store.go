package telemetry

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// Store gives each update of the service a span in the trace of its caller: the
// wait for the writer and the disk.
func Store(next service.Store) service.Store { return store{next} }

type store struct{ service.Store }

// Update implements service.Store.
func (s store) Update(ctx context.Context, scope tenant.Scope, fn func(tx service.Tx) error) error {
	ctx, span := tracing.Client(ctx, "store update")
	err := s.Store.Update(ctx, scope, fn)
	span.End(err)
	return err
}

package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Sinks tells how far each sink has the log, by name. They are the platform's.
func (a *Audit) Sinks(ctx context.Context, p tenant.Principal) ([]audit.Sink, error) {
	all, err := p.Platform(tenant.PlatformRead)
	if err != nil {
		return nil, err
	}
	return a.store.AuditSinks(ctx, all)
}

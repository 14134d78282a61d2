package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Identity is who calls.
type Identity struct {
	Actor       string              `json:"actor" doc:"As the events and the audit log name the caller" example:"key:ci/hvk_ABCDEFGH"`
	Tenant      tenant.ID           `json:"tenant"`
	Permissions []tenant.Permission `json:"permissions" nullable:"false"`
}

// WhoAmI tells a caller of whatever permissions who that is. Kind Unauthenticated for
// nobody.
func (*Service) WhoAmI(_ context.Context, p tenant.Principal) (Identity, error) {
	if p.Tenant() == "" {
		_, err := p.Scope(tenant.JobRead)
		return Identity{}, err
	}
	return Identity{Actor: p.Name(), Tenant: p.Tenant(), Permissions: p.Permissions()}, nil
}

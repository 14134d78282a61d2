package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Directory keeps the tenants, their keys and their usage. Each change is one
// transaction with its event; kinds besides the named: Unavailable (unknown).
type Directory interface {
	// Tenant returns the scope's tenant. Kind NotFound.
	Tenant(ctx context.Context, s tenant.Scope) (tenant.Account, error)
	// Tenants returns all that are not deleted, by id.
	Tenants(ctx context.Context, p tenant.PlatformScope) ([]tenant.Account, error)
	// CreateTenant stores a new tenant. Kind Conflict: the id was given before.
	CreateTenant(ctx context.Context, p tenant.PlatformScope, a tenant.Account) error
	// ChangeTenant lets fn change a tenant, and returns it as it is then. One
	// that fn makes draining loses its keys in the same transaction. Kind
	// NotFound, and those of fn.
	ChangeTenant(ctx context.Context, p tenant.PlatformScope, id tenant.ID, fn func(a *tenant.Account) error) (tenant.Account, error)
	// Drain cancels some waiting jobs of the tenants that are draining, and
	// deletes those that have no job left; more tells to call it again at once.
	Drain(ctx context.Context) (cancelled []job.Job, more bool, err error)

	// Keys returns the keys of the scope's tenant, the oldest first.
	Keys(ctx context.Context, s tenant.Scope) ([]tenant.Key, error)
	// CreateKey stores a key. Kinds NotFound (the tenant), Conflict (it is
	// draining), Exhausted (too many keys).
	CreateKey(ctx context.Context, s tenant.Scope, k tenant.Key) error
	// ChangeKey lets fn change the end of a key, and stores the key that follows
	// it if fn gives next an ID. Kind NotFound, and those of fn.
	ChangeKey(ctx context.Context, s tenant.Scope, id string, fn func(k, next *tenant.Key) error) error

	// Usage returns the months of the scope's tenant in which it used anything.
	Usage(ctx context.Context, s tenant.Scope, from, to tenant.Month) ([]tenant.Usage, error)
}

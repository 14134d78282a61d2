package tenant

import (
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// PlatformScope is the right to reach across tenants. The zero value reaches
// nothing.
type PlatformScope struct {
	actor  string
	origin Origin
	once   *Once
}

// Platform returns the handle across tenants for one permission. Kinds:
// Unauthenticated for the zero Principal, Denied without the permission.
func (p Principal) Platform(need Permission) (PlatformScope, error) {
	if _, err := p.Scope(need); err != nil {
		return PlatformScope{}, err
	}
	return PlatformScope{actor: p.name, origin: p.origin}, nil
}

// Actor returns the name of the principal that acts.
func (s PlatformScope) Actor() string { return s.actor }

// Of returns the handle to one tenant's data. Whether the tenant exists is the
// store's to say.
func (s PlatformScope) Of(id ID) Scope {
	if s.actor == "" {
		return Scope{}
	}
	return Scope{tenant: id, actor: s.actor, origin: s.origin}
}

// ScopeOf returns the handle to the data of the tenant that a caller names: any
// by the permission platform, the caller's own (or "") by the permission own
// too. Kinds: Unauthenticated, Denied; NotFound for a stranger's, so that
// nobody learns which tenants there are.
func (p Principal) ScopeOf(id ID, own, platform Permission) (Scope, error) {
	if id == "" || id == p.tenant && slices.Contains(p.permissions, own) {
		return p.Scope(own)
	}
	scope, err := p.Platform(platform)
	switch {
	case !fault.Is(err, fault.Denied):
		return scope.Of(id), err
	case id == p.tenant:
		return p.Scope(own)
	}
	return Scope{}, NotFound(id)
}

// PlatformOf is Platform for a verb on one tenant: NotFound in place of Denied
// for a tenant that is not the caller's own.
func (p Principal) PlatformOf(id ID, need Permission) (PlatformScope, error) {
	scope, err := p.Platform(need)
	if fault.Is(err, fault.Denied) && id != p.tenant {
		return PlatformScope{}, NotFound(id)
	}
	return scope, err
}

// NotFound is the error for a tenant that is not there, or not for the caller.
func NotFound(id ID) error {
	return fault.Newf(fault.NotFound, "HX-TENANT-001", "list the tenants that you may see", "there is no tenant %.100q", id)
}

// Package tenant says who calls and on whose behalf. What belongs to a tenant
// is reached only through a Scope, and a Scope is made only by a Principal that
// holds the permission: code that has no Scope cannot name a tenant's data.
package tenant

import (
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// ID names a tenant.
type ID string

// Default is the tenant of a single-user installation.
const Default ID = "default"

// Permission is a right to do one thing within a tenant.
type Permission string

// The permissions.
const (
	JobRead   Permission = "job:read"
	JobSubmit Permission = "job:submit"
	JobCancel Permission = "job:cancel"
	VMRead    Permission = "vm:read"

	ScheduleRead  Permission = "schedule:read"
	ScheduleWrite Permission = "schedule:write"

	RetentionRun Permission = "retention:run" // over all tenants
)

// All lists every permission.
func All() []Permission {
	return []Permission{JobRead, JobSubmit, JobCancel, VMRead, ScheduleRead, ScheduleWrite, RetentionRun}
}

// Principal is an authenticated caller. The zero value may do nothing.
type Principal struct {
	tenant      ID
	name        string
	permissions []Permission
}

// NewPrincipal makes the caller that authentication found: name is what the
// event log shows, e.g. "key:ci" or "local".
func NewPrincipal(tenant ID, name string, permissions ...Permission) Principal {
	return Principal{tenant: tenant, name: name, permissions: slices.Clone(permissions)}
}

// Scope returns the handle to the tenant's data for one permission. Kinds:
// Unauthenticated for the zero Principal, Denied without the permission.
func (p Principal) Scope(need Permission) (Scope, error) {
	if p.tenant == "" {
		return Scope{}, fault.New(fault.Unauthenticated, "HX-AUTH-001", "nobody is signed in", "send a credential")
	}
	if !slices.Contains(p.permissions, need) {
		return Scope{}, fault.Newf(fault.Denied, "HX-AUTH-002", "ask an administrator for it",
			"%s lacks the permission %s", p.name, need)
	}
	return Scope{tenant: p.tenant, actor: p.name}, nil
}

// Scope is the right to reach one tenant's data. The zero value reaches nothing.
type Scope struct {
	tenant ID
	actor  string
}

// Tenant returns the tenant that the scope is bound to.
func (s Scope) Tenant() ID { return s.tenant }

// Actor returns the name of the principal that acts.
func (s Scope) Actor() string { return s.actor }

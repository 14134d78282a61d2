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
	JobUpdate Permission = "job:update" // pause, resume, retry, change the priority or the bandwidth
	VMRead    Permission = "vm:read"

	KeyRead    Permission = "key:read"    // list the tenant's API keys
	KeyWrite   Permission = "key:write"   // make, rotate and revoke them
	TenantRead Permission = "tenant:read" // the own tenant's limits and usage

	ProfileRead  Permission = "profile:read"
	ProfileWrite Permission = "profile:write"

	ScheduleRead  Permission = "schedule:read"
	ScheduleWrite Permission = "schedule:write"

	WebhookRead  Permission = "webhook:read"
	WebhookWrite Permission = "webhook:write"

	AuditRead Permission = "audit:read" // the log of the own tenant

	RetentionRun Permission = "retention:run" // over all tenants

	PlatformRead  Permission = "platform:read"  // limits, keys and usage of every tenant
	PlatformWrite Permission = "platform:write" // make, change and delete tenants, and keys for them
)

// All lists every permission.
func All() []Permission { return Platform.Permissions() }

// Principal is an authenticated caller. The zero value may do nothing.
type Principal struct {
	tenant      ID
	name        string
	permissions []Permission
	origin      Origin
	call        *keyed // nil: under no idempotency key
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
		return Scope{}, p.lacks(need)
	}
	return Scope{tenant: p.tenant, actor: p.name, origin: p.origin}, nil
}

func (p Principal) lacks(need Permission) error {
	return fault.Newf(fault.Denied, "HX-AUTH-002", "ask an administrator for it",
		"%s lacks the permission %s", p.name, need)
}

// MayGrant tells whether the principal holds all that it is about to give to
// somebody else. Kind Denied.
func (p Principal) MayGrant(permissions []Permission) error {
	for _, have := range permissions {
		if !slices.Contains(p.permissions, have) {
			return fault.Newf(fault.Denied, "HX-AUTH-003", "ask somebody who has it",
				"%s lacks the permission %s and cannot hand it on", p.name, have)
		}
	}
	return nil
}

// Scope is the right to reach one tenant's data. The zero value reaches nothing.
type Scope struct {
	tenant ID
	actor  string
	origin Origin
	once   *Once
}

// Tenant returns the tenant that the scope is bound to.
func (s Scope) Tenant() ID { return s.tenant }

// Actor returns the name of the principal that acts.
func (s Scope) Actor() string { return s.actor }

package tenant

import "slices"

// Role is a named set of permissions. Each role holds all that the one before
// holds.
type Role string

// The roles.
const (
	Viewer   Role = "viewer"   // looks
	Operator Role = "operator" // submits, changes and cancels jobs
	Admin    Role = "admin"    // and manages the keys of its tenant
	Platform Role = "platform" // and all tenants
)

var roles = [...]struct {
	role Role
	adds []Permission
}{
	{Viewer, []Permission{JobRead, VMRead, ScheduleRead, ProfileRead, WebhookRead}},
	{Operator, []Permission{JobSubmit, JobCancel, JobUpdate, ScheduleWrite}},
	{Admin, []Permission{TenantRead, KeyRead, KeyWrite, ProfileWrite, WebhookWrite, AuditRead}},
	{Platform, []Permission{PlatformRead, PlatformWrite, RetentionRun}},
}

// Roles lists all roles, the weakest first.
func Roles() []Role {
	all := make([]Role, len(roles))
	for i := range roles {
		all[i] = roles[i].role
	}
	return all
}

// Valid tells whether r is a role.
func (r Role) Valid() bool { return slices.Contains(Roles(), r) }

// Permissions returns what the role may do; nothing for one that is none.
func (r Role) Permissions() []Permission {
	var all []Permission
	for i := range roles {
		all = append(all, roles[i].adds...)
		if roles[i].role == r {
			return all
		}
	}
	return nil
}

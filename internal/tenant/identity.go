package tenant

import "slices"

// Tenant returns the tenant that the principal belongs to, "" for the zero
// Principal.
func (p Principal) Tenant() ID { return p.tenant }

// Permissions lists what the principal may do.
func (p Principal) Permissions() []Permission { return slices.Clone(p.permissions) }

// Name is what the event log shows.
func (p Principal) Name() string { return p.name }

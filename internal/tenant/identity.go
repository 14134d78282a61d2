package tenant

// Tenant returns the tenant that the principal belongs to, "" for the zero
// Principal.
func (p Principal) Tenant() ID { return p.tenant }

// Name is what the event log shows.
func (p Principal) Name() string { return p.name }

package vsphere

// SetPage sets how many VMs are read in one round trip.
func (p *Provider) SetPage(n int) { p.page = n }

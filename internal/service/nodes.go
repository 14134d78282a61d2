package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Nodes lists the daemons that share the store.
type Nodes interface {
	Nodes(ctx context.Context) ([]node.Node, error)
}

// Nodes lists the daemons that work on the queue, and those that did until they
// were lost, by id.
func (s *Service) Nodes(ctx context.Context, p tenant.Principal) ([]node.Node, error) {
	if _, err := p.Scope(tenant.JobRead); err != nil {
		return nil, err
	}
	if s.deps.Nodes == nil {
		return nil, nil
	}
	return s.deps.Nodes.Nodes(ctx)
}

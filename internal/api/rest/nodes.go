package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeNodes() {
	private(a, huma.Operation{
		OperationID: "list_nodes", Method: http.MethodGet, Path: "/nodes", Tags: tagDaemon,
		Summary:     "List the daemons that share the queue",
		Description: "A node that stops in order leaves the list; one that is lost stays on it for a day.",
	}, a.listNodes)
}

type nodesOutput struct {
	Body NodeList
}

// NodeList are the nodes, by id.
type NodeList struct {
	Items []node.Node `json:"items" nullable:"false"`
}

func (a *API) listNodes(ctx context.Context, p tenant.Principal, _ *struct{}) (*nodesOutput, error) {
	nodes, err := a.deps.Service.Nodes(ctx, p)
	if err != nil {
		return nil, err
	}
	if nodes == nil {
		nodes = []node.Node{}
	}
	return &nodesOutput{NodeList{nodes}}, nil
}

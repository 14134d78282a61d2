package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeVMs() {
	private(a, huma.Operation{
		OperationID: "list_vms", Method: http.MethodGet, Path: "/vms", Tags: tagVMs, Summary: "List virtual machines",
	}, a.listVMs)
	private(a, huma.Operation{
		OperationID: "get_vm", Method: http.MethodGet, Path: "/vms/{id}", Tags: tagVMs, Summary: "Get a virtual machine",
	}, a.getVM)
}

type vmsInput struct {
	Provider string   `query:"provider" doc:"The provider's name; the default one if absent"`
	Path     []string `query:"path,explode" doc:"Inventory path with globs, name, UUID or id; repeat it for several" nullable:"false"`
}

type vmsOutput struct {
	Body VMList
}

// VMList is the inventory.
type VMList struct {
	Items []provider.VM `json:"items" nullable:"false"`
}

func (a *API) listVMs(ctx context.Context, p tenant.Principal, in *vmsInput) (*vmsOutput, error) {
	if _, err := p.Scope(tenant.VMRead); err != nil {
		return nil, err
	}
	vms, err := a.deps.Inventory.VMs(ctx, in.Provider, in.Path...)
	if err != nil {
		return nil, err
	}
	if vms == nil {
		vms = []provider.VM{}
	}
	return &vmsOutput{VMList{vms}}, nil
}

type vmInput struct {
	ID       string `path:"id" doc:"Id, inventory path (%2F for /), name or UUID"`
	Provider string `query:"provider" doc:"The provider's name; the default one if absent"`
}

type vmOutput struct {
	Body provider.VM
}

func (a *API) getVM(ctx context.Context, p tenant.Principal, in *vmInput) (*vmOutput, error) {
	if _, err := p.Scope(tenant.VMRead); err != nil {
		return nil, err
	}
	vm, err := a.deps.Inventory.VM(ctx, in.Provider, in.ID)
	if err != nil {
		return nil, err
	}
	return &vmOutput{vm}, nil
}

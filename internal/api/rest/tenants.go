package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// The units of the API's limits in bytes.
const (
	gigabyte   = 1_000_000_000
	megabitSec = 125_000 // per second
)

func (a *API) routeTenants() {
	private(a, huma.Operation{
		OperationID: "list_tenants", Method: http.MethodGet, Path: "/tenants", Tags: tagTenants, Summary: "List the tenants that the caller may see",
	}, a.listTenants)
	private(a, huma.Operation{
		OperationID: "create_tenant", Method: http.MethodPost, Path: "/tenants", Tags: tagTenants, Summary: "Make a tenant", DefaultStatus: http.StatusCreated,
	}, a.createTenant)
	private(a, huma.Operation{
		OperationID: "get_tenant", Method: http.MethodGet, Path: "/tenants/{id}", Tags: tagTenants, Summary: "Get a tenant with its limits",
	}, func(ctx context.Context, p tenant.Principal, in *tenantIDInput) (*tenantOutput, error) {
		return tenantAnswer(a.deps.Service.Tenant(ctx, p, in.ID))
	})
	private(a, huma.Operation{
		OperationID: "change_tenant", Method: http.MethodPatch, Path: "/tenants/{id}", Tags: tagTenants, Summary: "Change a tenant's limits",
		Description: "What is absent stays. A lower limit takes nothing back that was accepted.",
	}, func(ctx context.Context, p tenant.Principal, in *changeTenantInput) (*tenantOutput, error) {
		return tenantAnswer(a.deps.Service.ChangeTenant(ctx, p, in.ID, in.Body.change()))
	})
	private(a, huma.Operation{
		OperationID: "delete_tenant", Method: http.MethodDelete, Path: "/tenants/{id}", Tags: tagTenants, Summary: "Delete a tenant",
		Description: "Its keys end at once and its waiting jobs are cancelled; it is draining until its running jobs have ended. Safe to repeat until it is gone.",
	}, func(ctx context.Context, p tenant.Principal, in *tenantIDInput) (*tenantOutput, error) {
		return tenantAnswer(a.deps.Service.DeleteTenant(ctx, p, in.ID))
	})
	for name, paused := range map[string]bool{"pause": true, "resume": false} {
		private(a, huma.Operation{
			OperationID: name + "_tenant", Method: http.MethodPost, Path: "/tenants/{id}/" + name, Tags: tagTenants, Summary: pauseSummary(paused),
		}, func(ctx context.Context, p tenant.Principal, in *tenantIDInput) (*tenantOutput, error) {
			return tenantAnswer(a.deps.Service.ChangeTenant(ctx, p, in.ID, service.TenantChange{Paused: &paused}))
		})
	}
}

func pauseSummary(paused bool) string {
	if paused {
		return "Start nothing of a tenant; what runs goes on"
	}
	return "Start a tenant's jobs again"
}

type tenantIDInput struct {
	ID tenant.ID `path:"id" doc:"The tenant's id"`
}

// Tenant is a tenant with its limits; 0 means none.
type Tenant struct {
	ID                tenant.ID    `json:"id"`
	Name              string       `json:"name"`
	State             tenant.State `json:"state" enum:"active,draining,deleted" doc:"draining: it takes no jobs and is deleted when none is left"`
	Paused            bool         `json:"paused"`
	Weight            int          `json:"weight" doc:"Share of the workers against other tenants"`
	MaxConcurrentJobs int64        `json:"max_concurrent_jobs" doc:"More jobs wait"`
	MaxQueuedJobs     int64        `json:"max_queued_jobs" doc:"More jobs are refused"`
	MaxStorageGB      int64        `json:"max_storage_gb" doc:"Once so much is stored, jobs are refused; 10^9 bytes"`
	MaxBandwidthMbps  int64        `json:"max_bandwidth_mbps" doc:"10^6 bits per second"`
	StoredBytes       int64        `json:"stored_bytes" doc:"Artifacts of its jobs"`
	CreatedAt         time.Time    `json:"created_at"`
}

func tenantOf(a tenant.Account) Tenant {
	return Tenant{
		ID: a.ID, Name: a.Name, State: a.State, Paused: a.Paused, Weight: a.Weight, MaxConcurrentJobs: a.MaxConcurrentJobs,
		MaxQueuedJobs: a.MaxQueuedJobs, MaxStorageGB: a.MaxStorageBytes / gigabyte, MaxBandwidthMbps: a.MaxBandwidthBytes / megabitSec,
		StoredBytes: a.StoredBytes, CreatedAt: a.CreatedAt,
	}
}

// TenantChange is what may be set of a tenant.
type TenantChange struct {
	Name              *string `json:"name,omitempty" doc:"For people"`
	Weight            *int    `json:"weight,omitempty" doc:"1 to 1000"`
	Paused            *bool   `json:"paused,omitempty"`
	MaxConcurrentJobs *int64  `json:"max_concurrent_jobs,omitempty" doc:"0: no limit"`
	MaxQueuedJobs     *int64  `json:"max_queued_jobs,omitempty" doc:"At most 100000; 0: no limit"`
	MaxStorageGB      *int64  `json:"max_storage_gb,omitempty" minimum:"0" maximum:"1000000000" doc:"10^9 bytes; 0: no limit"`
	MaxBandwidthMbps  *int64  `json:"max_bandwidth_mbps,omitempty" minimum:"0" maximum:"1000000000" doc:"10^6 bits per second; 0: no limit"`
	StoredBytes       *int64  `json:"stored_bytes,omitempty" doc:"Corrects the account after exports were removed by hand"`
}

func (c *TenantChange) change() service.TenantChange {
	return service.TenantChange{
		Name: c.Name, Weight: c.Weight, Paused: c.Paused, MaxConcurrentJobs: c.MaxConcurrentJobs, MaxQueuedJobs: c.MaxQueuedJobs,
		MaxStorageBytes: times(c.MaxStorageGB, gigabyte), MaxBandwidthBytes: times(c.MaxBandwidthMbps, megabitSec), StoredBytes: c.StoredBytes,
	}
}

func times(n *int64, unit int64) *int64 {
	if n == nil {
		return nil
	}
	v := *n * unit
	return &v
}

type changeTenantInput struct {
	ID   tenant.ID `path:"id" doc:"The tenant's id"`
	Body TenantChange
}

type createTenantInput struct {
	Body struct {
		ID tenant.ID `json:"id" doc:"1 to 63 lower-case letters, digits and hyphens; never given twice"`
		TenantChange
	}
}

type tenantOutput struct {
	Body Tenant
}

func tenantAnswer(t tenant.Account, err error) (*tenantOutput, error) {
	if err != nil {
		return nil, err
	}
	return &tenantOutput{tenantOf(t)}, nil
}

func (a *API) createTenant(ctx context.Context, p tenant.Principal, in *createTenantInput) (*tenantOutput, error) {
	return tenantAnswer(a.deps.Service.CreateTenant(ctx, p, in.Body.ID, in.Body.change()))
}

type tenantsOutput struct {
	Body TenantList
}

// TenantList are the tenants that the caller may see.
type TenantList struct {
	Items []Tenant `json:"items" nullable:"false"`
}

func (a *API) listTenants(ctx context.Context, p tenant.Principal, _ *struct{}) (*tenantsOutput, error) {
	all, err := a.deps.Service.Tenants(ctx, p)
	if err != nil {
		return nil, err
	}
	out := &tenantsOutput{TenantList{make([]Tenant, len(all))}}
	for i := range all {
		out.Body.Items[i] = tenantOf(all[i])
	}
	return out, nil
}

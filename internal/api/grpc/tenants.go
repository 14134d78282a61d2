package grpc

import (
	"context"

	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// The units of the API's limits in bytes, and the largest number of them.
const (
	gigabyte   = 1_000_000_000
	megabitSec = 125_000 // per second
	maxUnits   = 1_000_000_000
)

func (d *Door) routeTenants() {
	unary(d, "ListTenants", "list_tenants", d.listTenants)
	unary(d, "CreateTenant", "create_tenant", d.createTenant)
	unary(d, "GetTenant", "get_tenant", func(ctx context.Context, p tenant.Principal, in *pb.TenantID) (*pb.Tenant, error) {
		return tenantPB(d.deps.Service.Tenant(ctx, p, tenant.ID(in.GetId())))
	})
	unary(d, "ChangeTenant", "change_tenant", d.changeTenant)
	unary(d, "DeleteTenant", "delete_tenant", func(ctx context.Context, p tenant.Principal, in *pb.TenantID) (*pb.Tenant, error) {
		return tenantPB(d.deps.Service.DeleteTenant(ctx, p, tenant.ID(in.GetId())))
	})
	for operation, paused := range map[string]bool{"pause_tenant": true, "resume_tenant": false} {
		method := map[bool]string{true: "PauseTenant", false: "ResumeTenant"}[paused]
		unary(d, protoreflect.Name(method), operation, func(ctx context.Context, p tenant.Principal, in *pb.TenantID) (*pb.Tenant, error) {
			return tenantPB(d.deps.Service.ChangeTenant(ctx, p, tenant.ID(in.GetId()), service.TenantChange{Paused: &paused}))
		})
	}
	unary(d, "GetTenantUsage", "tenant_usage", d.getTenantUsage)
}

func tenantPB(a tenant.Account, err error) (*pb.Tenant, error) {
	if err != nil {
		return nil, err
	}
	return &pb.Tenant{
		Id: string(a.ID), Name: a.Name, State: string(a.State), Paused: a.Paused, Weight: int32(a.Weight),
		MaxConcurrentJobs: a.MaxConcurrentJobs, MaxQueuedJobs: a.MaxQueuedJobs, MaxStorageGb: a.MaxStorageBytes / gigabyte,
		MaxBandwidthMbps: a.MaxBandwidthBytes / megabitSec, StoredBytes: a.StoredBytes, CreatedAt: timePB(&a.CreatedAt),
	}, nil
}

func (d *Door) listTenants(ctx context.Context, p tenant.Principal, _ *pb.ListTenantsRequest) (*pb.ListTenantsResponse, error) {
	all, err := d.deps.Service.Tenants(ctx, p)
	out := &pb.ListTenantsResponse{}
	for i := range all {
		item, _ := tenantPB(all[i], nil)
		out.Items = append(out.Items, item)
	}
	return out, err
}

func (d *Door) createTenant(ctx context.Context, p tenant.Principal, in *pb.CreateTenantRequest) (*pb.Tenant, error) {
	c, err := changeOf(in.GetChange())
	if err != nil {
		return nil, err
	}
	return tenantPB(d.deps.Service.CreateTenant(ctx, p, tenant.ID(in.GetId()), c))
}

func (d *Door) changeTenant(ctx context.Context, p tenant.Principal, in *pb.ChangeTenantRequest) (*pb.Tenant, error) {
	c, err := changeOf(in.GetChange())
	if err != nil {
		return nil, err
	}
	return tenantPB(d.deps.Service.ChangeTenant(ctx, p, tenant.ID(in.GetId()), c))
}

func changeOf(m *pb.TenantChange) (c service.TenantChange, err error) {
	if m == nil {
		return c, nil
	}
	c = service.TenantChange{
		Name: m.Name, Paused: m.Paused, MaxConcurrentJobs: m.MaxConcurrentJobs, MaxQueuedJobs: m.MaxQueuedJobs, StoredBytes: m.StoredBytes,
	}
	if m.Weight != nil {
		c.Weight = new(int(m.GetWeight()))
	}
	if err := setBytes(&c.MaxStorageBytes, m.MaxStorageGb, gigabyte, "max_storage_gb"); err != nil {
		return c, err
	}
	return c, setBytes(&c.MaxBandwidthBytes, m.MaxBandwidthMbps, megabitSec, "max_bandwidth_mbps")
}

// setBytes sets a limit that the caller names in larger units, if it does.
func setBytes(into **int64, n *int64, unit int64, field string) error {
	if n == nil {
		return nil
	}
	if *n < 0 || *n > maxUnits {
		return fault.Newf(fault.Invalid, "HX-GRPC-011", "correct it", "%s is not between 0 (no limit) and %d", field, maxUnits)
	}
	*into = new(*n * unit)
	return nil
}

func (d *Door) getTenantUsage(ctx context.Context, p tenant.Principal, in *pb.TenantUsageRequest) (*pb.UsageReport, error) {
	id, months, err := d.deps.Service.Usage(ctx, p, tenant.ID(in.GetId()), tenant.Month(in.GetFrom()), tenant.Month(in.GetTo()))
	return &pb.UsageReport{Tenant: string(id), Months: listPB[tenant.Usage, pb.UsageMonth](months)}, err
}

package grpc

import (
	"context"
	"time"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) routeDaemon() {
	unary(d, "ListVMs", "list_vms", d.listVMs)
	unary(d, "GetVM", "get_vm", d.getVM)
	unary(d, "ListNodes", "list_nodes", d.listNodes)
	unary(d, "GetStatus", "get_status", d.getStatus)
	unary(d, "WhoAmI", "get_whoami", d.whoAmI)
	if d.deps.Retention != nil {
		unary(d, "RunRetention", "run_retention", d.runRetention)
	}
}

func (d *Door) listVMs(ctx context.Context, p tenant.Principal, in *pb.ListVMsRequest) (*pb.ListVMsResponse, error) {
	if _, err := p.Scope(tenant.VMRead); err != nil {
		return nil, err
	}
	vms, err := d.deps.Inventory.VMs(ctx, in.GetProvider(), in.GetPath()...)
	return &pb.ListVMsResponse{Items: listPB[provider.VM, pb.VM](vms)}, err
}

func (d *Door) getVM(ctx context.Context, p tenant.Principal, in *pb.GetVMRequest) (*pb.VM, error) {
	if _, err := p.Scope(tenant.VMRead); err != nil {
		return nil, err
	}
	vm, err := d.deps.Inventory.VM(ctx, in.GetProvider(), in.GetId())
	if err != nil {
		return nil, err
	}
	return toPB(&vm, &pb.VM{}), nil
}

func (d *Door) listNodes(ctx context.Context, p tenant.Principal, _ *pb.ListNodesRequest) (*pb.ListNodesResponse, error) {
	nodes, err := d.deps.Service.Nodes(ctx, p)
	return &pb.ListNodesResponse{Items: listPB[node.Node, pb.Node](nodes)}, err
}

func (d *Door) whoAmI(ctx context.Context, p tenant.Principal, _ *pb.WhoAmIRequest) (*pb.Identity, error) {
	who, err := d.deps.Service.WhoAmI(ctx, p)
	if err != nil {
		return nil, err
	}
	return toPB(&who, &pb.Identity{}), nil
}

func (d *Door) getStatus(ctx context.Context, p tenant.Principal, _ *pb.GetStatusRequest) (*pb.Status, error) {
	s, err := d.deps.Service.Status(ctx, p)
	if err != nil {
		return nil, err
	}
	out := &pb.Status{
		Version: d.deps.Version, UptimeSeconds: time.Since(d.started).Seconds(), Jobs: make(map[string]int64, len(s.Jobs)),
		Workers: &pb.Workers{
			Size: int32(s.Workers), Busy: int32(s.Busy), Min: int32(s.Bounds.Min), Max: int32(s.Bounds.Max), Reason: s.SizeReason,
		},
		OldestWaitSeconds: s.OldestWait.Seconds(),
	}
	for state, n := range s.Jobs {
		out.Jobs[string(state)] = n
	}
	return out, nil
}

func (d *Door) runRetention(ctx context.Context, p tenant.Principal, in *pb.RunRetentionRequest) (*pb.RetentionReport, error) {
	r, err := d.deps.Retention.Apply(ctx, p, in.GetDryRun())
	if err != nil {
		return nil, err
	}
	return &pb.RetentionReport{
		DryRun: r.DryRun, Jobs: int32(r.Jobs), Artifacts: int32(r.Artifacts), Bytes: r.Bytes,
		Removed: retainedPB(r.Removed), Kept: retainedPB(r.Kept), KeptCount: int32(r.KeptCount), More: r.More,
	}, nil
}

func retainedPB(all []service.JobArtifact) []*pb.RetainedArtifact {
	out := make([]*pb.RetainedArtifact, len(all))
	for i, a := range all {
		out[i] = &pb.RetainedArtifact{JobId: a.JobID, Tenant: a.Tenant, VmPath: a.VMPath, Path: a.Path, Bytes: a.Bytes, Reason: a.Reason}
	}
	return out
}

package grpc

import (
	"context"
	"encoding/json"

	"connectrpc.com/connect/v2"
	"google.golang.org/protobuf/types/known/structpb"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) routeAudit() {
	if d.deps.Audit == nil {
		return
	}
	unary(d, "ListAudit", "list_audit", d.listAudit)
	d.register("ExportAudit", method{operation: "export_audit"}, d.exportAudit)
	unary(d, "GetAuditCheckpoint", "audit_checkpoint", d.getAuditCheckpoint)
	unary(d, "GetAuditProof", "audit_proof", d.getAuditProof)
	unary(d, "GetAuditConsistency", "audit_consistency", d.getAuditConsistency)
	unary(d, "ListAuditSinks", "list_audit_sinks", d.listAuditSinks)
}

func (d *Door) listAudit(ctx context.Context, p tenant.Principal, in *pb.ListAuditRequest) (*pb.ListAuditResponse, error) {
	q := service.AuditQuery{
		Tenant: tenant.ID(in.GetTenant()), Event: in.GetEvent(), Actor: in.GetActor(), Resource: in.GetResource(),
		Limit: int(in.GetLimit()), Before: in.GetCursor(),
	}
	var err error
	if q.Since, err = timeOf(in.GetSince(), "since"); err != nil {
		return nil, err
	}
	if q.Until, err = timeOf(in.GetUntil(), "until"); err != nil {
		return nil, err
	}
	page, err := d.deps.Audit.Entries(ctx, p, q)
	if err != nil {
		return nil, err
	}
	out := &pb.ListAuditResponse{Items: make([]*pb.AuditEntry, len(page.Entries)), NextCursor: page.Next}
	for i := range page.Entries {
		if out.Items[i], err = entryPB(&page.Entries[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func entryPB(e *audit.Entry) (*pb.AuditEntry, error) {
	out := &pb.AuditEntry{
		Pos: e.Pos, Id: e.ID, Timestamp: timePB(&e.Timestamp), Event: e.Event, Tenant: e.Tenant,
		Actor:    &pb.AuditActor{Type: e.Actor.Type, Id: e.Actor.ID, Ip: e.Actor.IP},
		Resource: &pb.AuditResource{Type: e.Resource.Type, Id: e.Resource.ID, Vm: e.Resource.VM},
		Action:   e.Action, Result: e.Result, RequestId: e.RequestID, TraceId: e.TraceID, Metadata: &structpb.Struct{},
	}
	text, err := json.Marshal(e.Metadata)
	if err != nil {
		return nil, err
	}
	return out, out.GetMetadata().UnmarshalJSON(text)
}

func (d *Door) exportAudit(ctx context.Context, c *call, s connect.ServerStream) error {
	in := &pb.ExportAuditRequest{}
	if err := receive(s, in); err != nil {
		return err
	}
	lines, err := d.deps.Audit.Lines(ctx, c.principal, in.GetAfter(), int(in.GetLimit()))
	if err != nil {
		return err
	}
	for i := range lines {
		if err := s.Send(linePB(&lines[i])); err != nil {
			return err
		}
	}
	return nil
}

func linePB(l *audit.Line) *pb.AuditLine {
	return &pb.AuditLine{Pos: l.Pos, Hash: l.Hash.String(), Leaf: l.Leaf, Hidden: l.Hidden, Checkpoint: l.Checkpoint}
}

func (d *Door) getAuditCheckpoint(ctx context.Context, p tenant.Principal, _ *pb.GetAuditCheckpointRequest) (*pb.AuditCheckpoint, error) {
	c, err := d.deps.Audit.Checkpoint(ctx, p)
	if err != nil {
		return nil, err
	}
	return checkpointPB(&c), nil
}

func checkpointPB(c *audit.Checkpoint) *pb.AuditCheckpoint {
	return &pb.AuditCheckpoint{Size: c.Size, Root: c.Root.String(), Time: timePB(&c.Time), Node: c.Node, Note: c.Note}
}

func (d *Door) getAuditProof(ctx context.Context, p tenant.Principal, in *pb.GetAuditProofRequest) (*pb.AuditProof, error) {
	proof, err := d.deps.Audit.Proof(ctx, p, in.GetPos())
	if err != nil {
		return nil, err
	}
	return &pb.AuditProof{Entry: linePB(&proof.Line), Hashes: hashesPB(proof.Hashes), Checkpoint: checkpointPB(&proof.Checkpoint)}, nil
}

func (d *Door) getAuditConsistency(ctx context.Context, p tenant.Principal, in *pb.GetAuditConsistencyRequest) (*pb.AuditConsistency, error) {
	c, err := d.deps.Audit.Consistency(ctx, p, in.GetFrom())
	if err != nil {
		return nil, err
	}
	return &pb.AuditConsistency{From: c.From, Root: c.Root.String(), Hashes: hashesPB(c.Hashes), Checkpoint: checkpointPB(&c.Checkpoint)}, nil
}

func hashesPB(all []audit.Hash) []string {
	out := make([]string, len(all))
	for i, h := range all {
		out[i] = h.String()
	}
	return out
}

package grpc

import (
	"context"
	"time"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) listAuditSinks(ctx context.Context, p tenant.Principal, _ *pb.ListAuditSinksRequest) (*pb.ListAuditSinksResponse, error) {
	all, err := d.deps.Audit.Sinks(ctx, p)
	if err != nil {
		return nil, err
	}
	now, out := time.Now(), &pb.ListAuditSinksResponse{Items: make([]*pb.AuditSink, len(all))}
	for i := range all {
		out.Items[i] = sinkPB(&all[i], now)
	}
	return out, nil
}

func sinkPB(s *audit.Sink, now time.Time) *pb.AuditSink {
	out := &pb.AuditSink{
		Name: s.Name, Kind: s.Kind, State: s.State(), Pos: s.Pos, LagEntries: s.Behind, LagSeconds: s.Lag(now).Seconds(),
		Failures: int32(s.Failures), LastError: s.Error, Node: s.Node,
	}
	if !s.Took.IsZero() {
		out.LastTakenAt = timePB(&s.Took)
	}
	return out
}

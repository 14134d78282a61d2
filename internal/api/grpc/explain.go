package grpc

import (
	"context"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) explainJob(ctx context.Context, p tenant.Principal, in *pb.JobID) (*pb.Explanation, error) {
	e, err := d.deps.Service.Explain(ctx, p, in.GetId())
	if err != nil {
		return nil, err
	}
	return explanationPB(e), nil
}

func explanationPB(e service.Explanation) *pb.Explanation {
	v := e.Verdict
	out := &pb.Explanation{
		JobId: e.Job.ID, Status: string(e.Job.State), Reason: v.Reason, Message: e.Message,
		NextClaim:      v.Reason != "" && v.Remedy != nil && len(v.Remedy) == 0,
		EstimatedStart: timePB(&e.EstimatedStart),
		Detail: &pb.ExplainDetail{
			WorkersSize: int32(e.Workers), WorkersBusy: int32(e.Busy), TenantRunning: int32(e.Running), TenantLimit: int32(e.Limit),
			Ahead: int32(v.Ahead), NotBefore: timePB(e.Job.NotBefore),
		},
	}
	if v.Ahead < 0 {
		out.Detail.Ahead, out.Detail.AheadIsLeast = admission.Depth, true
	}
	if v.Reason == job.WaitSlot || v.Reason == job.WaitTenantLimit || v.Reason == job.WaitHostLimit {
		out.Detail.WaitingSince = timePB(&e.Job.ReadyAt)
	}
	if h := e.Host; h.Limit > 0 {
		out.Detail.Host = &pb.HostWait{Name: h.Name, Limit: int32(h.Limit), Held: int32(h.Held), Jobs: h.Jobs, Others: int32(h.Others), Ahead: int32(v.OnHost)}
	}
	for _, r := range v.Remedy {
		out.Remedy = append(out.Remedy, &pb.Remedy{Action: string(r.Kind), Tenant: r.Tenant, Host: r.Host, To: string(r.To), N: int32(r.N), At: timePB(&r.At)})
	}
	return out
}

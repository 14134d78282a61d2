package grpc

import (
	"context"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) cancelJob(ctx context.Context, p tenant.Principal, in *pb.CancelJobRequest) (*pb.Cancellation, error) {
	r, err := d.deps.Service.Cancel(ctx, p, in.GetJobId(), in.GetReason())
	if err != nil {
		return nil, err
	}
	return &pb.Cancellation{JobId: in.GetJobId(), Outcome: string(r.Outcome), Status: string(r.Job.State)}, nil
}

func (d *Door) cancelJobs(ctx context.Context, p tenant.Principal, in *pb.CancelJobsRequest) (*pb.Cancellations, error) {
	all, err := d.deps.Service.CancelAll(ctx, p, in.GetJobIds(), in.GetReason())
	if err != nil {
		return nil, err
	}
	out := &pb.Cancellations{Results: make([]*pb.CancelResult, len(all))}
	for i, c := range all {
		out.Results[i] = &pb.CancelResult{JobId: c.JobID, Outcome: string(c.Outcome), Status: string(c.Status)}
		if e := c.Error; e != nil {
			out.Results[i].Error = &pb.ItemError{Code: e.Code, Message: e.Message, Fix: e.Fix}
			out.Failed++
		}
	}
	return out, nil
}

func (d *Door) pauseJob(ctx context.Context, p tenant.Principal, in *pb.PauseJobRequest) (*pb.Job, error) {
	return jobPB(d.deps.Service.Pause(ctx, p, in.GetJobId(), in.GetReason()))
}

func (d *Door) resumeJob(ctx context.Context, p tenant.Principal, in *pb.JobID) (*pb.Job, error) {
	return jobPB(d.deps.Service.Resume(ctx, p, in.GetId()))
}

func (d *Door) retryJob(ctx context.Context, p tenant.Principal, in *pb.JobID) (*pb.Job, error) {
	return jobPB(d.deps.Service.Retry(ctx, p, in.GetId()))
}

func (d *Door) updateJob(ctx context.Context, p tenant.Principal, in *pb.UpdateJobRequest) (*pb.Job, error) {
	return jobPB(d.deps.Service.Prioritize(ctx, p, in.GetJobId(), job.Priority(in.GetPriority())))
}

func (d *Door) setJobBandwidth(ctx context.Context, p tenant.Principal, in *pb.SetJobBandwidthRequest) (*pb.Job, error) {
	return jobPB(d.deps.Service.SetBandwidth(ctx, p, in.GetJobId(), job.Bandwidth(in.GetBandwidthLimit()), in.GetBandwidthWindows()))
}

func (d *Door) bulkJobs(ctx context.Context, p tenant.Principal, in *pb.BulkJobsRequest) (*pb.BulkResult, error) {
	q, err := queryOf(in.GetFilter())
	if err != nil {
		return nil, err
	}
	r, err := d.deps.Service.Bulk(ctx, p, service.Bulk{
		Action: service.BulkAction(in.GetAction()), Filter: q, Priority: job.Priority(in.GetPriority()), Reason: in.GetReason(), DryRun: in.GetDryRun(),
	})
	if err != nil {
		return nil, err
	}
	out := &pb.BulkResult{
		DryRun: in.GetDryRun(), Matched: r.Matched, More: r.More, Changed: int32(r.Changed), Unchanged: int32(r.Unchanged), Failed: int32(r.Failed),
	}
	for _, failed := range r.Errors {
		e := fault.As(failed.Error)
		out.Errors = append(out.Errors, &pb.BulkItem{JobId: failed.JobID, Code: e.Code, Message: e.Msg, Fix: e.Fix})
	}
	return out, nil
}

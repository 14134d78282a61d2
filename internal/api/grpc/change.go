package grpc

import (
	"context"

	"golang.org/x/sync/errgroup"

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

// Bounds of CancelJobs: how many jobs it takes, and how many of them wait for the
// store together, which commits them together.
const (
	maxCancel    = service.MaxLimit
	cancelAtOnce = 64
)

func (d *Door) cancelJobs(ctx context.Context, p tenant.Principal, in *pb.CancelJobsRequest) (*pb.Cancellations, error) {
	if _, err := p.Scope(tenant.JobCancel); err != nil {
		return nil, err
	}
	ids := in.GetJobIds()
	if len(ids) == 0 || len(ids) > maxCancel {
		return nil, fault.Newf(fault.Invalid, "HX-GRPC-007", "name some, or ask in parts", "the request names %d jobs; 1 to %d are allowed", len(ids), maxCancel)
	}
	out := &pb.Cancellations{Results: make([]*pb.CancelResult, len(ids))}
	var g errgroup.Group
	g.SetLimit(cancelAtOnce)
	for i, id := range ids {
		g.Go(func() error {
			out.Results[i] = d.cancelOne(ctx, p, id, in.GetReason())
			return nil
		})
	}
	_ = g.Wait() // each result holds its own error
	for _, r := range out.GetResults() {
		if r.GetError() != nil {
			out.Failed++
		}
	}
	return out, nil
}

func (d *Door) cancelOne(ctx context.Context, p tenant.Principal, id, reason string) *pb.CancelResult {
	r, err := d.deps.Service.Cancel(ctx, p, id, reason)
	if err != nil {
		e := fault.As(err)
		return &pb.CancelResult{JobId: id, Error: &pb.ItemError{Code: e.Code, Message: e.Msg, Fix: e.Fix}}
	}
	return &pb.CancelResult{JobId: id, Outcome: string(r.Outcome), Status: string(r.Job.State)}
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

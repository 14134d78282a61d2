package grpc

import (
	"context"
	"strconv"

	"connectrpc.com/connect/v2"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) routeJobs() {
	unary(d, "SubmitJob", "submit_jobs", d.submitJob)
	unary(d, "SubmitJobs", "submit_jobs", d.submitJobs)
	unary(d, "GetJobStatus", "get_job", d.getJobStatus)
	unary(d, "GetReceipt", "get_receipt", d.getReceipt)
	unary(d, "ExplainJob", "explain_job", d.explainJob)
	unary(d, "CancelJob", "cancel_job", d.cancelJob)
	unary(d, "CancelJobs", "cancel_jobs", d.cancelJobs)
	unary(d, "PauseJob", "pause_job", d.pauseJob)
	unary(d, "ResumeJob", "resume_job", d.resumeJob)
	unary(d, "RetryJob", "retry_job", d.retryJob)
	unary(d, "UpdateJob", "update_job", d.updateJob)
	unary(d, "SetJobBandwidth", "set_job_bandwidth", d.setJobBandwidth)
	unary(d, "BulkJobs", "bulk_jobs", d.bulkJobs)
}

func (d *Door) getJobStatus(ctx context.Context, p tenant.Principal, in *pb.JobStatusRequest) (*pb.JobStatusResponse, error) {
	j, err := jobPB(d.deps.Service.Get(ctx, p, in.GetJobId()))
	return &pb.JobStatusResponse{Job: j}, err
}

// jobPB makes the answer of a method that returns a job.
func jobPB(j job.Job, err error) (*pb.Job, error) {
	if err != nil {
		return nil, err
	}
	return toPB(&j, &pb.Job{}), nil
}

func (d *Door) getReceipt(ctx context.Context, p tenant.Principal, in *pb.JobID) (*pb.Receipt, error) {
	r, err := d.deps.Service.Receipt(ctx, p, in.GetId())
	return &pb.Receipt{Document: r}, err
}

// The trailer of ListJobs.
const (
	trailerCursor  = "Next-Cursor"
	trailerTotal   = "Total"
	trailerAtLeast = "Total-Is-Least"
)

func (d *Door) listJobs(ctx context.Context, c *call, s connect.ServerStream) error {
	in := &pb.ListJobsRequest{}
	if err := receive(s, in); err != nil {
		return err
	}
	q, err := queryOf(in.GetFilter())
	if err != nil {
		return err
	}
	q.Limit, q.Cursor = int(in.GetLimit()), in.GetCursor()
	page, err := d.deps.Service.Query(ctx, c.principal, q)
	if err != nil {
		return err
	}
	if info, ok := connect.CallInfoForServerContext(ctx); ok {
		trailer := info.ResponseTrailer()
		trailer.Set(trailerTotal, strconv.FormatInt(page.Total, 10))
		if page.AtLeast {
			trailer.Set(trailerAtLeast, "true")
		}
		if page.NextCursor != "" {
			trailer.Set(trailerCursor, page.NextCursor)
		}
	}
	for i := range page.Jobs {
		if err := s.Send(toPB(&page.Jobs[i], &pb.Job{})); err != nil {
			return err
		}
	}
	return nil
}

func queryOf(f *pb.JobFilter) (q service.Query, err error) {
	q = service.Query{IDs: f.GetJobIds(), States: words[job.State](f.GetStatus()), Priorities: words[job.Priority](f.GetPriority()), VM: f.GetVm()}
	if q.Since, err = timeOf(f.GetSince(), "since"); err != nil {
		return q, err
	}
	q.Until, err = timeOf(f.GetUntil(), "until")
	return q, err
}

// words makes a list of another kind of text.
func words[T ~string](all []string) []T {
	out := make([]T, len(all))
	for i := range all {
		out[i] = T(all[i])
	}
	return out
}

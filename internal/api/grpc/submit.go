package grpc

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"

	"google.golang.org/protobuf/proto"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) submitJob(ctx context.Context, p tenant.Principal, in *pb.JobRequest) (*pb.JobResponse, error) {
	spec, err := specOf(in)
	if err != nil {
		return nil, err
	}
	r, err := d.submit(ctx, p, []job.Spec{spec}, in.GetRequestId())
	if err != nil {
		return nil, err
	}
	return &pb.JobResponse{JobId: r.Jobs[0].ID, Status: string(r.Jobs[0].State), Replayed: r.Replayed}, nil
}

func (d *Door) submitJobs(ctx context.Context, p tenant.Principal, in *pb.SubmitJobsRequest) (*pb.SubmitJobsResponse, error) {
	specs, err := specsOf(in)
	if err != nil {
		return nil, err
	}
	r, err := d.submit(ctx, p, specs, in.GetRequestId())
	if err != nil {
		return nil, err
	}
	out := &pb.SubmitJobsResponse{Accepted: int32(len(r.Jobs)), Rejected: int32(len(r.Refused)), Replayed: r.Replayed}
	for i := range r.Jobs {
		out.JobIds = append(out.JobIds, r.Jobs[i].ID)
	}
	for _, refused := range r.Refused {
		out.Errors = append(out.Errors, &pb.ItemError{
			Index: int32(refused.Index), Code: refused.Error.Code, Message: refused.Error.Message, Fix: refused.Error.Fix,
		})
	}
	return out, nil
}

func (d *Door) submit(ctx context.Context, p tenant.Principal, specs []job.Spec, requestID string) (service.SubmitResult, error) {
	key, err := idempotencyKey(p, requestID)
	if err != nil {
		return service.SubmitResult{}, err
	}
	r, err := d.deps.Service.Submit(ctx, p, specs, service.SubmitOptions{IdempotencyKey: key})
	if err != nil {
		return r, &refused{err, r.Refused}
	}
	return r, nil
}

// headerKey is the metadata that makes a call safe to repeat.
const headerKey = "Idempotency-Key"

// idempotencyKey is the request's id, as field or as metadata.
func idempotencyKey(p tenant.Principal, requestID string) (string, error) {
	header := p.IdempotencyKey()
	if requestID != "" && header != "" && requestID != header {
		return "", fault.New(fault.Invalid, "HX-GRPC-005", "request_id and the metadata Idempotency-Key differ", "send one of them")
	}
	return cmp.Or(requestID, header), nil
}

// specsOf reads the jobs of a request, which are messages or a document.
func specsOf(in *pb.SubmitJobsRequest) ([]job.Spec, error) {
	if in.GetDocument() != "" {
		if len(in.GetJobs()) > 0 {
			return nil, fault.New(fault.Invalid, "HX-GRPC-006", "the request holds jobs and a document", "send one of them")
		}
		return job.DecodeSpecs([]byte(in.GetDocument()), in.GetContentType())
	}
	if len(in.GetJobs()) > job.MaxBatch {
		return nil, fault.Newf(fault.Unprocessable, "HX-JOB-014", "split it", "the request holds %d jobs; %d are allowed", len(in.GetJobs()), job.MaxBatch)
	}
	return specsOfList(in.GetJobs())
}

func specsOfList(messages []*pb.JobSpec) ([]job.Spec, error) {
	specs := make([]job.Spec, len(messages))
	for i, m := range messages {
		spec, err := specOf(m)
		if err != nil {
			return nil, err
		}
		specs[i] = spec
	}
	return specs, nil
}

// specOf reads a job. Which fields the steps of a workflow take is what the reader
// of documents knows: it looks at one, too.
func specOf(m proto.Message) (spec job.Spec, err error) {
	if err := fromPB(m, &spec); err != nil || !spec.IsWorkflow() {
		return spec, err
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return spec, fmt.Errorf("encode the workflow: %w", err)
	}
	_, err = job.DecodeSpecs(text, "application/json")
	return spec, err
}

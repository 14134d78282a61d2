package grpc

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"connectrpc.com/connect/v2"
	"connectrpc.com/connect/v2/connectproto"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
)

// domain is that of the codes in ErrorInfo.
const domain = "hypervisord"

// codes is the one table from kind to gRPC code. Two kinds are one code where gRPC
// knows no difference: ErrorInfo names the kind.
var codes = [...]connect.Code{
	fault.Internal:        connect.CodeInternal,
	fault.Invalid:         connect.CodeInvalidArgument,
	fault.Unauthenticated: connect.CodeUnauthenticated,
	fault.Denied:          connect.CodePermissionDenied,
	fault.NotFound:        connect.CodeNotFound,
	fault.Conflict:        connect.CodeFailedPrecondition,
	fault.Unprocessable:   connect.CodeInvalidArgument,
	fault.Exhausted:       connect.CodeResourceExhausted,
	fault.Cancelled:       connect.CodeCanceled,
	fault.Unavailable:     connect.CodeUnavailable,
	fault.Timeout:         connect.CodeDeadlineExceeded,
	fault.Corrupt:         connect.CodeDataLoss,
}

// retryAfter is when a caller may try again, unless the rate limit knows better.
const retryAfter = 2 * time.Second

// refused are the jobs that a submit did not take, with the error that it was
// answered with.
type refused struct {
	error
	jobs []service.Refusal
}

// Unwrap returns the error.
func (r *refused) Unwrap() error { return r.error }

// limitError is an error of the rate limit, and when there is a turn again.
type limitError struct {
	error
	after time.Duration
}

// Unwrap returns the error.
func (t *limitError) Unwrap() error { return t.error }

// refuse turns an error into a status with its details, and logs one that is ours
// with its causes: they are not answered.
func (d *Door) refuse(ctx context.Context, c *call, err error) *connect.Error {
	e := fault.As(err)
	code := codes[e.Kind]
	fails := !errors.Is(err, errStopping)
	if fails {
		c.tell(e.Kind)
	}
	if fails && (code == connect.CodeInternal || code == connect.CodeDataLoss || code == connect.CodeUnavailable) {
		d.deps.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request_id", c.requestID),
			slog.String("code", e.Code), slog.String("error", fault.Detail(err)))
	}
	info := &errdetails.ErrorInfo{Reason: e.Code, Domain: domain, Metadata: map[string]string{"kind": e.Kind.String()}}
	if e.Fix != "" {
		info.Metadata["fix"] = e.Fix
	}
	if c.requestID != "" {
		info.Metadata["request_id"] = c.requestID
	}
	details := []proto.Message{info}
	if e.Kind == fault.Exhausted || e.Kind == fault.Unavailable {
		after := retryAfter
		if limit, ok := errors.AsType[*limitError](err); ok {
			after = limit.after
		}
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(after)})
	}
	if e.Code == service.InFlight {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Second)})
	}
	if r, ok := errors.AsType[*refused](err); ok && len(r.jobs) > 0 {
		details = append(details, violations(r.jobs))
	}
	status := connect.NewError(code, e.Msg)
	for _, m := range details {
		if detail, err := connectproto.NewErrorDetail(m); err == nil {
			status = status.WithDetail(detail)
		}
	}
	return status
}

// violations says of each refused job what is wrong with it.
func violations(jobs []service.Refusal) *errdetails.BadRequest {
	bad := &errdetails.BadRequest{}
	for _, r := range jobs {
		bad.FieldViolations = append(bad.FieldViolations, &errdetails.BadRequest_FieldViolation{
			Field: "jobs[" + strconv.Itoa(r.Index) + "]", Description: r.Error.Message, Reason: r.Error.Code,
		})
	}
	return bad
}

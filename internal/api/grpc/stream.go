package grpc

import (
	"context"
	"iter"
	"time"

	"connectrpc.com/connect/v2"
	"golang.org/x/time/rate"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
)

func (d *Door) routeStreams() {
	d.register("ListJobs", method{operation: "list_jobs"}, d.listJobs)
	d.register("StreamJobUpdates", method{operation: "job_events", flow: live}, d.streamJobUpdates)
	d.register("StreamEvents", method{operation: "stream_events", flow: live}, d.streamEvents)
}

// errStopping ends a stream, as it should: a client comes back, to a stream of events
// by the last seq.
var errStopping error = fault.New(fault.Unavailable, "HX-GRPC-008", "the daemon stops", "call again; for events with the seq of the last one")

func (d *Door) streamJobUpdates(ctx context.Context, c *call, s connect.ServerStream) error {
	in := &pb.JobID{}
	if err := receive(s, in); err != nil {
		return err
	}
	if in.GetAfterSeq() < 0 {
		return fault.New(fault.Invalid, "HX-GRPC-009", "after_seq is negative", "leave it out for all events")
	}
	progress := rate.NewLimiter(1, 2)
	return follow(ctx, d, c, s, func(ctx context.Context) (iter.Seq2[service.Update, error], error) {
		return d.deps.Service.Events(ctx, c.principal, in.GetId(), in.GetAfterSeq())
	}, func(u service.Update) error { return sendUpdate(s, u, progress) })
}

// follow sends a stream until it ends, the client is gone, the daemon stops, or the
// caller may no longer see it: there is an update at least every service.KeepAlive.
func follow[U any](ctx context.Context, d *Door, c *call, s connect.ServerStream, open func(ctx context.Context) (iter.Seq2[U, error], error), send func(u U) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer d.onStop(func() { cancel(errStopping) })()
	updates, err := open(ctx)
	if err != nil {
		return err
	}
	leave, err := d.deps.Hall.Admit(c.principal)
	if err != nil {
		return err
	}
	defer leave()
	if err := s.SendHeaders(); err != nil {
		return err
	}
	entered := time.Now()
	for u, err := range updates {
		if err == nil && time.Since(entered) >= d.recheck {
			err, entered = c.enter(), time.Now()
		}
		if err == nil {
			err = send(u)
		}
		if cause := context.Cause(ctx); err != nil && cause != nil {
			return cause
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func sendUpdate(s connect.ServerStream, u service.Update, progress *rate.Limiter) error {
	switch {
	case u.Event != nil:
		return s.Send(&pb.JobUpdate{Update: &pb.JobUpdate_Event{Event: toPB(u.Event, &pb.Event{})}})
	case u.Progress == nil:
		return s.Send(&pb.JobUpdate{Update: &pb.JobUpdate_KeepAlive{KeepAlive: &pb.KeepAlive{}}})
	case progress.Allow():
		return s.Send(&pb.JobUpdate{Update: &pb.JobUpdate_Progress{Progress: toPB(u.Progress, &pb.Progress{})}})
	}
	return nil
}

func (d *Door) streamEvents(ctx context.Context, c *call, s connect.ServerStream) error {
	in := &pb.StreamEventsRequest{}
	if err := receive(s, in); err != nil {
		return err
	}
	q := service.LogQuery{
		After: in.After, Kinds: in.GetKind(), Jobs: in.GetJobId(), Labels: in.GetLabels(), Progress: in.GetProgress(), Once: in.GetOnce(),
	}
	return follow(ctx, d, c, s, func(ctx context.Context) (iter.Seq2[service.LogUpdate, error], error) {
		return d.deps.Service.Log(ctx, c.principal, q)
	}, func(u service.LogUpdate) error {
		out := &pb.LogUpdate{Pos: u.Pos, JobId: u.JobID}
		if u.Event != nil {
			out.Event = toPB(u.Event, &pb.Event{})
		}
		if u.Progress != nil {
			out.Progress = toPB(u.Progress, &pb.Progress{})
		}
		return s.Send(out)
	})
}

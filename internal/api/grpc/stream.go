package grpc

import (
	"context"
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
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer d.onStop(func() { cancel(errStopping) })()
	updates, err := d.deps.Service.Events(ctx, c.principal, in.GetId(), in.GetAfterSeq())
	if err != nil {
		return err
	}
	if err := s.SendHeaders(); err != nil {
		return err
	}
	f := follower{stream: s, progress: rate.NewLimiter(1, 2), enter: c.enter, entered: time.Now(), recheck: d.recheck}
	for u, err := range updates {
		if err == nil {
			err = f.send(u)
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

// follower writes the stream of one job.
type follower struct {
	stream   connect.ServerStream
	progress *rate.Limiter
	enter    func() error
	entered  time.Time
	recheck  time.Duration
}

// send sends an update, if the caller may still see it: there is one at least every
// service.KeepAlive.
func (f *follower) send(u service.Update) error {
	if time.Since(f.entered) >= f.recheck {
		if err := f.enter(); err != nil {
			return err
		}
		f.entered = time.Now()
	}
	switch {
	case u.Event != nil:
		return f.stream.Send(&pb.JobUpdate{Update: &pb.JobUpdate_Event{Event: toPB(u.Event, &pb.Event{})}})
	case u.Progress == nil:
		return f.stream.Send(&pb.JobUpdate{Update: &pb.JobUpdate_KeepAlive{KeepAlive: &pb.KeepAlive{}}})
	case f.progress.Allow():
		return f.stream.Send(&pb.JobUpdate{Update: &pb.JobUpdate_Progress{Progress: toPB(u.Progress, &pb.Progress{})}})
	}
	return nil
}

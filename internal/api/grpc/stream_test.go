package grpc_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	gogrpc "google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	reflectionpb "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// next returns the next event of a stream; progress and keep-alives go by.
func next(s gogrpc.ClientStream) (*pb.Event, error) {
	for {
		u := &pb.JobUpdate{}
		if err := s.RecvMsg(u); err != nil {
			return nil, err
		}
		if u.GetEvent() != nil {
			return u.GetEvent(), nil
		}
	}
}

func kinds(t *testing.T, s gogrpc.ClientStream) (all []string) {
	t.Helper()
	for {
		e, err := next(s)
		if errors.Is(err, io.EOF) {
			return all
		}
		must(t, err)
		all = append(all, e.GetKind())
	}
}

// A stream tells all events in order and ends with the last; asked again from any of
// them, it goes on with the next.
func TestStream(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	s := w.stream(w.as(), svc+"StreamJobUpdates", &pb.JobID{Id: id})
	first, err := next(s)
	must(t, err)
	l := w.claim()
	started, err := next(s)
	must(t, err)
	w.progress(l, 50)
	u := &pb.JobUpdate{}
	must(t, s.RecvMsg(u))
	if u.GetProgress().GetPercent() != 50 || u.GetProgress().GetEtaSeconds() != -1 {
		t.Errorf("%v", u)
	}
	w.complete(l)
	rest := kinds(t, s)
	if first.GetKind() != "job.submitted" || started.GetKind() != "job.started" || started.GetData().GetNode() != "n1" || !slices.Equal(rest, []string{"job.completed"}) {
		t.Errorf("%v, %v, %v", first, started, rest)
	}
	for after, want := range map[int64][]string{
		0:                {"job.submitted", "job.started", "job.completed"},
		first.GetSeq():   {"job.started", "job.completed"},
		started.GetSeq(): {"job.completed"},
		1 << 40:          nil, // the end is known
	} {
		if got := kinds(t, w.stream(w.as(), svc+"StreamJobUpdates", &pb.JobID{Id: id, AfterSeq: after})); !slices.Equal(got, want) {
			t.Errorf("after %d: %v, want %v", after, got, want)
		}
	}
	_, err = next(w.stream(w.as(), svc+"StreamJobUpdates", &pb.JobID{Id: id, AfterSeq: -1}))
	failed(t, err, codes.InvalidArgument, "HX-GRPC-009")
	_, err = next(w.stream(w.as(), svc+"StreamJobUpdates", &pb.JobID{Id: "x"}))
	failed(t, err, codes.NotFound, "HX-JOB-041")
}

// However often a stream breaks, no event is left out or repeated.
func TestStreamLosesNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := w.submit()
	const rounds = 8
	done := make(chan error, 1)
	go func() {
		for range rounds {
			if _, err := w.svc.Pause(t.Context(), root(), id, ""); err != nil {
				done <- err
				return
			}
			if _, err := w.svc.Resume(t.Context(), root(), id); err != nil {
				done <- err
				return
			}
		}
		_, err := w.svc.Cancel(t.Context(), root(), id, "")
		done <- err
	}()
	var seen []string
	for after := int64(0); len(seen) < 4*rounds; {
		ctx, cancel := context.WithCancel(w.as())
		e, err := next(w.stream(ctx, svc+"StreamJobUpdates", &pb.JobID{Id: id, AfterSeq: after}))
		cancel() // after one event, in the middle of whatever happens
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		seen, after = append(seen, e.GetKind()), e.GetSeq()
	}
	must(t, <-done)
	want := []string{"job.submitted"}
	for range rounds {
		want = append(want, "job.paused", "job.resumed")
	}
	if want = append(want, "job.cancelled"); !slices.Equal(seen, want) {
		t.Errorf("%v", seen)
	}
}

// The daemon's end is not the job's: a client that sees Unavailable comes back.
func TestStreamEndsWhenTheDaemonStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.stream(w.as(), svc+"StreamJobUpdates", &pb.JobID{Id: w.submit()})
	_, err := next(s)
	must(t, err)
	w.stop()
	_, err = next(s)
	failed(t, err, codes.Unavailable, "HX-GRPC-008")
}

// A key that is revoked sees nothing more of a stream that it opened.
func TestStreamEndsWithItsCredential(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.SetIntervals(0, time.Hour)
	made, err := w.svc.CreateKey(t.Context(), root(), "", service.KeyRequest{Name: "x", Role: tenant.Viewer})
	must(t, err)
	id := w.submit()
	s := w.stream(w.as("x-api-key", made.Secret.Reveal()), svc+"StreamJobUpdates", &pb.JobID{Id: id})
	_, err = next(s)
	must(t, err)
	_, err = w.svc.RevokeKey(t.Context(), root(), "", made.Key.ID)
	must(t, err)
	_, err = w.svc.Pause(t.Context(), root(), id, "")
	must(t, err)
	_, err = next(s)
	failed(t, err, codes.Unauthenticated, "HX-AUTH-013")
}

// The server's time for a call is not that of a stream, nor is the time for a write:
// HTTP/2 would end it even while nothing is written, as it ends one of the reflection
// service.
func TestStreamOutlivesTheServersTime(t *testing.T) {
	t.Parallel()
	const limit = 200 * time.Millisecond
	w := newWorld(t, func(_ *deps, s *http.Server) { s.WriteTimeout, s.ReadTimeout = limit, limit })
	w.door.SetWriteTime(limit / 2)
	id := w.submit()
	s := w.stream(w.as(), svc+"StreamJobUpdates", &pb.JobID{Id: id})
	_, err := next(s)
	must(t, err)
	bounded, err := reflectionpb.NewServerReflectionClient(w.conn).ServerReflectionInfo(t.Context())
	must(t, err)
	if _, err := bounded.Recv(); status.Code(err) != codes.Internal {
		t.Fatalf("a call outlives the server's time: %v", err)
	}
	_, err = w.svc.Cancel(t.Context(), root(), id, "")
	must(t, err)
	if got := kinds(t, s); !slices.Equal(got, []string{"job.cancelled"}) {
		t.Errorf("%v", got)
	}
}

func TestHealthWatch(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.door.SetIntervals(time.Hour, 10*time.Millisecond)
	client := grpc_health_v1.NewHealthClient(w.conn)
	s, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	must(t, err)
	expect := func(want grpc_health_v1.HealthCheckResponse_ServingStatus) {
		t.Helper()
		got, err := s.Recv()
		must(t, err)
		if got.GetStatus() != want {
			t.Errorf("%v, want %v", got, want)
		}
	}
	expect(grpc_health_v1.HealthCheckResponse_SERVING)
	w.healthy.Store(false)
	expect(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	got, err := client.Check(t.Context(), &grpc_health_v1.HealthCheckRequest{})
	must(t, err)
	if got.GetStatus() != grpc_health_v1.HealthCheckResponse_NOT_SERVING {
		t.Errorf("%v", got)
	}
	w.healthy.Store(true)
	expect(grpc_health_v1.HealthCheckResponse_SERVING)
	unknown, err := client.Watch(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: "x"})
	must(t, err)
	if got, err := unknown.Recv(); err != nil || got.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVICE_UNKNOWN {
		t.Errorf("%v, %v", got, err)
	}
	w.stop()
	expect(grpc_health_v1.HealthCheckResponse_NOT_SERVING)
	_, err = s.Recv()
	failed(t, err, codes.Unavailable, "HX-GRPC-008")
}

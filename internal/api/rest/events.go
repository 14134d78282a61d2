package rest

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"reflect"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"golang.org/x/time/rate"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// writeTime bounds one write of a stream: a reader that takes longer is dropped.
const writeTime = 10 * time.Second

// reconnect is how long a client should wait before it comes back.
const reconnect = 2 * time.Second

func (a *API) routeEvents() {
	a.huma.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[event.Event](), true, "") // what a message's data holds
	private(a, huma.Operation{
		OperationID: "job_events", Method: http.MethodGet, Path: "/jobs/{id}/events", Tags: tagJobs,
		Summary: "Follow a job",
		Description: "Server-sent events. A message with an id is an Event, named by its kind; `progress` holds a Progress, at most one a second on average; " +
			"`end` closes the stream of a job that ended. After a broken connection send the last id as Last-Event-ID: no event is left out or repeated.",
		Responses: map[string]*huma.Response{
			"200": textResponse("The stream", "text/event-stream"),
			"204": {Description: "The job has ended and Last-Event-ID is its last event: do not come back"},
		},
	}, a.jobEvents)
}

type eventsInput struct {
	ID    string `path:"id" doc:"The job's id"`
	After int64  `header:"Last-Event-ID" doc:"The last id that was seen" minimum:"0"`
}

func (a *API) jobEvents(ctx context.Context, p tenant.Principal, in *eventsInput) (*huma.StreamResponse, error) {
	j, err := a.deps.Service.Get(ctx, p, in.ID)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	updates, err := a.deps.Service.Events(ctx, p, in.ID, in.After)
	if err != nil {
		cancel()
		return nil, err
	}
	if in.After > 0 && j.State.Final() && empty(updates) {
		cancel()
		return &huma.StreamResponse{Body: func(hc huma.Context) { hc.SetStatus(http.StatusNoContent) }}, nil
	}
	leave, err := a.deps.Hall.Admit(p)
	if err != nil {
		cancel()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		defer cancel()
		r, _ := humago.Unwrap(hc)
		guarded, stop := a.deps.Hall.Guard(ctx, r, door)
		defer stop()
		defer context.AfterFunc(guarded, cancel)()
		a.follow(ctx, hc, updates)
	}}, nil
}

// empty tells whether a stream that ends by itself has nothing to say.
func empty(updates iter.Seq2[service.Update, error]) bool {
	next, stop := iter.Pull2(updates)
	defer stop()
	_, _, some := next()
	return !some
}

// follow writes the stream until it ends, the client is gone or too slow, or the
// daemon stops. It says nothing about an error: the client comes back by its
// last id.
func (a *API) follow(ctx context.Context, hc huma.Context, updates iter.Seq2[service.Update, error]) {
	r, w := humago.Unwrap(hc)
	s := newSSE(w, a.write)
	if err := s.open(r); err != nil || r.Method == http.MethodHead {
		return
	}
	for u, err := range updates {
		if err == nil {
			err = s.update(u)
		}
		if err != nil {
			if ctx.Err() == nil {
				a.deps.Log.LogAttrs(ctx, slog.LevelWarn, "stream broken off", slog.String("request_id", gate.RequestID(ctx)),
					slog.String("error", fault.Detail(err)))
			}
			return
		}
	}
	_ = s.Write("event: end\ndata: {}\n\n") // the client is gone: nobody to tell
}

// sse writes server-sent events, of progress not too many.
type sse struct {
	stream.SSE
	progress *rate.Limiter
}

func newSSE(w http.ResponseWriter, limit time.Duration) *sse {
	return &sse{SSE: stream.SSE{W: w, Limit: limit}, progress: rate.NewLimiter(1, 2)}
}

func (s *sse) open(r *http.Request) error {
	return s.Open(r, "retry: "+strconv.FormatInt(reconnect.Milliseconds(), 10)+"\n\n")
}

func (s *sse) update(u service.Update) error {
	switch {
	case u.Event != nil:
		return s.Message(strconv.FormatInt(u.Event.Seq, 10), string(u.Event.Kind), u.Event)
	case u.Progress == nil:
		return s.Write(": keep-alive\n\n")
	case s.progress.Allow():
		return s.Message("", "progress", u.Progress)
	}
	return nil
}

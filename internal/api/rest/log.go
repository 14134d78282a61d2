package rest

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var tagEvents = []string{"events"}

func (a *API) routeLog() {
	private(a, huma.Operation{
		OperationID: "stream_events", Method: http.MethodGet, Path: "/events", Tags: tagEvents,
		Summary: "Follow all events of the tenant",
		Description: "Server-sent events. A message with data is an Event, named by its kind, and its id is the event's place in the log (pos); " +
			"`ready` is the first message, `progress` holds a LogProgress, `end` closes a stream with once. A message of an id alone says how far the log was read. " +
			"After a broken connection send the last id as Last-Event-ID: no event is left out or repeated.",
		Responses: map[string]*huma.Response{"200": textResponse("The stream", "text/event-stream")},
	}, a.streamEvents)
	a.routeSocket()
}

type logInput struct {
	Last     string   `header:"Last-Event-ID" doc:"The last id that was seen; wins over after"`
	After    string   `query:"after" doc:"Begin behind this place in the log, 0 for all of it; at its end unless told"`
	Kind     []string `query:"kind" doc:"Separated by commas: job.completed, or job.* for all that begin so" nullable:"false"`
	Job      []string `query:"job" doc:"Ids of jobs, separated by commas" nullable:"false"`
	Label    []string `query:"label,explode" doc:"name=value: events of jobs with the label; repeat it for several, all of which they must have" nullable:"false"`
	Progress bool     `query:"progress" doc:"Tell the progress of running jobs, too"`
	Once     bool     `query:"once" doc:"End where the log ends now"`
}

// LogProgress is the progress of a job in the stream of all of them.
type LogProgress struct {
	JobID    string        `json:"job_id"`
	Progress *job.Progress `json:"progress"`
}

func (in *logInput) query() (service.LogQuery, error) {
	q := service.LogQuery{Kinds: in.Kind, Jobs: in.Job, Progress: in.Progress, Once: in.Once}
	after := in.After
	if in.Last != "" {
		after = in.Last
	}
	if after != "" {
		pos, err := strconv.ParseInt(after, 10, 64)
		if err != nil {
			return q, fault.New(fault.Invalid, "HX-EVENT-004", "after and Last-Event-ID take the id of a message", "leave it out to begin at the end")
		}
		q.After = &pos
	}
	for _, l := range in.Label {
		name, v, ok := strings.Cut(l, "=")
		if !ok {
			return q, fault.Newf(fault.Invalid, "HX-EVENT-005", "write label=name=value", "the label %.100q has no value", l)
		}
		if q.Labels == nil {
			q.Labels = map[string]string{}
		}
		q.Labels[name] = v
	}
	return q, nil
}

func (a *API) streamEvents(ctx context.Context, p tenant.Principal, in *logInput) (*huma.StreamResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	updates, err := a.deps.Service.Log(ctx, p, q)
	if err != nil {
		cancel()
		return nil, err
	}
	leave, err := a.deps.Hall.Admit(p)
	if err != nil {
		cancel()
		return nil, err
	}
	return &huma.StreamResponse{Body: func(hc huma.Context) {
		defer leave()
		defer cancel()
		r, w := humago.Unwrap(hc)
		guarded, stop := a.deps.Hall.Guard(ctx, r, door)
		defer stop()
		defer context.AfterFunc(guarded, cancel)()
		a.followLog(ctx, w, r, updates)
	}}, nil
}

// followLog writes the stream until it ends, the client is gone or too slow, its
// credential is withdrawn or the daemon stops. It says nothing about an error: the
// client comes back by its last id.
func (a *API) followLog(ctx context.Context, w http.ResponseWriter, r *http.Request, updates iter.Seq2[service.LogUpdate, error]) {
	s := newSSE(w, a.write)
	if err := s.open(r); err != nil || r.Method == http.MethodHead {
		return
	}
	first := true
	for u, err := range updates {
		if err == nil {
			err = s.log(u, first)
		}
		first = false
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

func (s *sse) log(u service.LogUpdate, first bool) error {
	pos := strconv.FormatInt(u.Pos, 10)
	switch {
	case first:
		return s.Message(pos, "ready", map[string]int64{"pos": u.Pos})
	case u.Event != nil:
		return s.Message(pos, string(u.Event.Kind), u.Event)
	case u.Progress != nil:
		return s.Message("", "progress", LogProgress{JobID: u.JobID, Progress: u.Progress})
	}
	return s.Write("id: " + pos + "\n\n")
}

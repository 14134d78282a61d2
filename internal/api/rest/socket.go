package rest

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/api/stream"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// doorSocket is what events call this way in.
const doorSocket = "ws"

// authTime is how long a page may take to send its key.
const authTime = 5 * time.Second

// errUpgrade answers who asks for the socket by plain HTTP.
var errUpgrade = newProblem(http.StatusUpgradeRequired, "HX-API-013", "this is a WebSocket", "open it with a WebSocket client, or follow GET /events")

// routeSocket serves GET /ws: the stream of GET /events over a WebSocket.
func (a *API) routeSocket() {
	doc := a.huma.OpenAPI()
	doc.Components.Schemas.Schema(reflect.TypeFor[SocketMessage](), true, "")
	doc.Components.Schemas.Schema(reflect.TypeFor[LogProgress](), true, "")
	text := &huma.Schema{Type: huma.TypeString}
	var params []*huma.Param
	for _, name := range []string{"after", "kind", "job", "label", "progress", "once"} {
		params = append(params, &huma.Param{Name: name, In: "query", Description: "As of GET /events", Schema: text})
	}
	doc.AddOperation(&huma.Operation{
		OperationID: "socket", Method: http.MethodGet, Path: "/ws", Tags: tagEvents, Summary: "Follow all events of the tenant over a WebSocket",
		Description: "Each message is a SocketMessage. A page, which cannot set headers, sends {\"type\":\"auth\",\"api_key\":\"…\"} first. " +
			"After a broken connection come back with the last pos as after: no event is left out or repeated.",
		Security:   []map[string][]string{{schemeBearer: {}}, {schemeAPIKey: {}}},
		Parameters: params,
		Responses:  withProblem(doc.Components.Schemas, map[string]*huma.Response{"101": {Description: "The WebSocket"}}),
	})
	a.mux.HandleFunc("GET /ws", a.serveSocket)
	a.guarded["GET /ws"] = true
}

// SocketMessage is one message of GET /ws.
type SocketMessage struct {
	Type     string        `json:"type" enum:"ready,event,progress,keep_alive,end" doc:"ready is the first one; end closes a stream with once"`
	Pos      int64         `json:"pos" doc:"How far the log was read: to come back, give it as after"`
	Event    *event.Event  `json:"event,omitempty"`
	JobID    string        `json:"job_id,omitempty" doc:"Of a progress"`
	Progress *job.Progress `json:"progress,omitempty" doc:"Of a running job"`
}

func (a *API) serveSocket(w http.ResponseWriter, r *http.Request) {
	if err := stream.SameOrigin(r); err != nil {
		a.refuse(w, r, err)
		return
	}
	request := r.Clone(r.Context())
	var (
		p   tenant.Principal
		err error
	)
	known := stream.HasCredential(r) || !stream.Upgrades(r)
	if known {
		if p, err = a.enterSocket(w, request); err != nil {
			a.refuse(w, r, err)
			return
		}
	}
	if !stream.Upgrades(r) {
		a.refuse(w, r, errUpgrade)
		return
	}
	socket, err := stream.Open(w, r)
	if err != nil {
		return // it is answered
	}
	defer socket.Close(stream.CodeInternal, "the daemon stumbled over this request") // after a panic; else it is closed
	if !known {
		if err = awaitKey(r.Context(), socket, request); err == nil {
			p, err = a.enterSocket(w, request)
		}
	}
	if err == nil {
		err = a.carry(request, p, socket)
	}
	if err == nil {
		socket.Close(stream.CodeDone, "")
		return
	}
	socket.Close(closeCode(err))
}

func closeCode(err error) (int, string) {
	if p, ok := errors.AsType[*Problem](err); ok {
		err = fault.New(fault.Invalid, p.Code, p.Detail, p.Fix)
	}
	return stream.CodeOf(err)
}

// enterSocket authenticates and charges. Once the socket is open, the headers of w
// go nowhere.
func (a *API) enterSocket(w http.ResponseWriter, r *http.Request) (tenant.Principal, error) {
	p, err := a.deps.Gate.Enter(r, doorSocket)
	if err != nil {
		return p, err
	}
	allowance, err := a.deps.Gate.Charge(r.Context(), p, "stream_events")
	allowance.Set(w.Header())
	if err != nil {
		allowance.SetRetry(w.Header())
	}
	return p, err
}

// awaitKey reads the first message of a page.
func awaitKey(ctx context.Context, socket *stream.Socket, r *http.Request) error {
	late := time.AfterFunc(authTime, func() { socket.Close(stream.CodeInitTimeout, "no auth came") })
	defer late.Stop()
	var m struct {
		Type   string `json:"type"`
		APIKey string `json:"api_key"`
	}
	if err := socket.Read(ctx, &m); err != nil {
		return err
	}
	if m.Type != "auth" {
		return fault.New(fault.Unauthenticated, "HX-STREAM-004", "the first message is not auth", `send {"type":"auth","api_key":"…"}`)
	}
	r.Header.Set("X-Api-Key", m.APIKey)
	return nil
}

// carry streams until the client hangs up or says anything, its credential is
// withdrawn, or the daemon stops. nil: the stream is at its end.
func (a *API) carry(r *http.Request, p tenant.Principal, socket *stream.Socket) error {
	q, err := socketQuery(r.URL.Query())
	if err != nil {
		return err
	}
	leave, err := a.deps.Hall.Admit(p)
	if err != nil {
		return err
	}
	defer leave()
	guarded, stop := a.deps.Hall.Guard(r.Context(), r, doorSocket)
	defer stop()
	ctx, cancel := context.WithCancelCause(guarded)
	updates, err := a.deps.Service.Log(ctx, p, q)
	if err != nil {
		err = why(ctx, err)
		cancel(nil)
		return err
	}
	watched := make(chan struct{})
	go func() { // ends when the socket is closed, below
		defer close(watched)
		cancel(listen(ctx, socket))
	}()
	kept := make(chan struct{})
	go func() { // ends with ctx
		defer close(kept)
		if err := socket.KeepAlive(ctx); err != nil {
			cancel(err)
		}
	}()
	err = why(ctx, tell(ctx, socket, updates))
	cancel(err)
	if err == nil {
		socket.Close(stream.CodeDone, "")
	} else {
		socket.Close(closeCode(err))
	}
	<-watched
	<-kept
	return err
}

// why is the cause of ctx, if that has ended: whatever it broke.
func why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// listen waits for the client to hang up: it has nothing to say.
func listen(ctx context.Context, socket *stream.Socket) error {
	var m struct{}
	if err := socket.Read(ctx, &m); err != nil {
		return err
	}
	return fault.New(fault.Invalid, "HX-STREAM-005", "the stream takes no messages", "choose what to follow by the query")
}

// tell writes what there is.
func tell(ctx context.Context, socket *stream.Socket, updates func(func(service.LogUpdate, error) bool)) error {
	kind := "ready"
	pos := int64(0)
	for u, err := range updates {
		if err != nil {
			return err
		}
		pos = u.Pos
		switch {
		case u.Event != nil:
			kind = "event"
		case u.Progress != nil:
			kind = "progress"
		}
		if err := socket.Write(ctx, SocketMessage{Type: kind, Pos: u.Pos, Event: u.Event, JobID: u.JobID, Progress: u.Progress}); err != nil {
			return err
		}
		kind = "keep_alive"
	}
	return socket.Write(ctx, SocketMessage{Type: "end", Pos: pos})
}

// socketQuery reads the query as GET /events does.
func socketQuery(v url.Values) (service.LogQuery, error) {
	list := func(name string) (all []string) {
		for _, text := range v[name] {
			all = append(all, strings.Split(text, ",")...)
		}
		return all
	}
	in := logInput{
		After: v.Get("after"), Kind: list("kind"), Job: list("job"), Label: v["label"],
		Progress: v.Get("progress") == "true", Once: v.Get("once") == "true",
	}
	return in.query()
}

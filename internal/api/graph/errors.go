package graph

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"strconv"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/service"
)

// kinds is the one table over fault.Kind: how a request is answered of which
// nothing was executed, and after how many seconds it may be sent again (0: it
// need not).
var kinds = [...]struct{ status, retryAfter int }{
	fault.Internal:        {http.StatusInternalServerError, 0},
	fault.Invalid:         {http.StatusBadRequest, 0},
	fault.Unauthenticated: {http.StatusUnauthorized, 0},
	fault.Denied:          {http.StatusForbidden, 0},
	fault.NotFound:        {http.StatusNotFound, 0},
	fault.Conflict:        {http.StatusConflict, 0},
	fault.Unprocessable:   {http.StatusUnprocessableEntity, 0},
	fault.Exhausted:       {http.StatusTooManyRequests, 2},
	fault.Cancelled:       {499, 0},
	fault.Unavailable:     {http.StatusServiceUnavailable, 2},
	fault.Timeout:         {http.StatusGatewayTimeout, 0},
	fault.Corrupt:         {http.StatusInternalServerError, 0},
}

// The refusals of the door itself.
var (
	errMethod    = &refusal{http.StatusMethodNotAllowed, fault.New(fault.Invalid, "HX-GQL-002", "GraphQL takes POST and WebSockets only", "send POST with application/json")}
	errMediaType = &refusal{http.StatusUnsupportedMediaType, fault.New(fault.Invalid, "HX-GQL-003", "the body is not application/json", "send JSON")}
	errBatch     = fault.New(fault.Invalid, "HX-GQL-004", "the body is a list of requests", "send one request; it may hold several fields")
	errBody      = fault.New(fault.Invalid, "HX-GQL-005", "the body is not one JSON object with query, operationName and variables", "correct it")
	errLarge     = &refusal{http.StatusRequestEntityTooLarge, fault.New(fault.Invalid, "HX-API-003", "the body is larger than 1 MiB", "submit in parts")}
	errSlow      = &refusal{http.StatusRequestTimeout, fault.New(fault.Invalid, "HX-API-004", "the body did not arrive in time", "send it faster")}
	errBroken    = &refusal{http.StatusBadRequest, fault.New(fault.Invalid, "HX-API-011", "the body broke off", "send it again")}
	errOneKey    = fault.New(fault.Invalid, "HX-GQL-018", "the header Idempotency-Key stands for one mutation, and the request holds several", "send them one by one, each with a key")
	errOneAnswer = fault.New(fault.Invalid, "HX-GQL-006", "a subscription has more than one answer", "send Accept: text/event-stream, or use a WebSocket")
)

// refusal is an error with a status of its own.
type refusal struct {
	status int
	error
}

// Unwrap leads to the fault.
func (r *refusal) Unwrap() error { return r.error }

// resolved is an error that a resolver returned; any other is the executor's, about
// the request.
type resolved struct{ error }

// Unwrap leads to the cause.
func (r resolved) Unwrap() error { return r.error }

// present makes what is shown of an error, and logs one that is ours with its
// causes: they are not answered.
func (g *Door) present(ctx context.Context, err error) *gqlerror.Error {
	shown := &gqlerror.Error{}
	if own, ok := errors.AsType[*gqlerror.Error](err); ok {
		shown.Message, shown.Path, shown.Locations = own.Message, own.Path, own.Locations
	}
	if shown.Path == nil {
		shown.Path = graphql.GetPath(ctx)
	}
	e := g.classify(ctx, err, shown.Message)
	shown.Message = e.Msg
	shown.Extensions = extensions(ctx, e, err)
	return shown
}

// classify finds the fault. What the executor says of a request is Invalid.
func (g *Door) classify(ctx context.Context, err error, message string) *fault.Error {
	_, ours := errors.AsType[*fault.Error](err)
	_, fromService := errors.AsType[resolved](err)
	if !ours && !fromService && fault.KindOf(err) == fault.Internal && message != "" {
		return fault.New(fault.Invalid, "HX-GQL-001", message, "compare it with the schema")
	}
	e := fault.As(err)
	if kinds[e.Kind].status == http.StatusInternalServerError {
		g.deps.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request_id", gate.RequestID(ctx)),
			slog.String("code", e.Code), slog.String("error", fault.Detail(err)))
	}
	return e
}

// extensions are what a program decides by.
func extensions(ctx context.Context, e *fault.Error, err error) map[string]any {
	x := map[string]any{"code": e.Code, "kind": e.Kind.String()}
	if e.Fix != "" {
		x["fix"] = e.Fix
	}
	if after := retryAfter(e.Kind, err); after > 0 {
		x["retryAfter"] = after
	}
	if id := gate.RequestID(ctx); id != "" {
		x["requestId"] = id
	}
	if several, ok := errors.AsType[*refusedJobs](err); ok {
		x["errors"] = several.all
	}
	return x
}

func retryAfter(k fault.Kind, err error) int {
	if limited, ok := errors.AsType[*overLimit](err); ok {
		return limited.after
	}
	if fault.As(err).Code == service.InFlight {
		return 1
	}
	return kinds[k].retryAfter
}

// recovered turns a panic into an answer with an id that the log explains.
func (g *Door) recovered(ctx context.Context, v any) error {
	what := fmt.Sprintf("%T", v) // any other value may hold a secret
	if err, ok := v.(runtime.Error); ok {
		what = err.Error()
	}
	g.deps.Log.LogAttrs(ctx, slog.LevelError, "panic", slog.String("request_id", gate.RequestID(ctx)),
		slog.String("panic", what), slog.String("stack", string(debug.Stack())))
	return fault.New(fault.Internal, "HX-INT-004", "the daemon stumbled over this request", "report it with the request id; the daemon's log has the rest")
}

// refuse answers a request of which nothing was executed.
func (g *Door) refuse(w http.ResponseWriter, r *http.Request, err error) {
	shown := g.present(r.Context(), err)
	e := fault.As(err)
	status := kinds[e.Kind].status
	if own, ok := errors.AsType[*refusal](err); ok {
		status = own.status
	}
	h := w.Header()
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="hypervisord"`)
	}
	if after := retryAfter(e.Kind, err); after > 0 {
		h.Set("Retry-After", strconv.Itoa(after))
	}
	if status == http.StatusUnauthorized || e.Code == gate.CodeGuessed {
		strikes := g.deps.Gate.Strikes(r)
		strikes.Set(h)
		if e.Code == gate.CodeGuessed {
			strikes.SetRetry(h)
		}
	}
	g.write(w, r, status, &graphql.Response{Errors: gqlerror.List{shown}})
}

// encode writes an answer. The executor has written the data: to look through it
// once more takes a tenth of the time of a list.
func encode(response *graphql.Response) ([]byte, error) {
	if len(response.Errors) > 0 || len(response.Extensions) > 0 || len(response.Data) == 0 || response.HasNext != nil {
		return json.Marshal(response)
	}
	text := make([]byte, 0, len(response.Data)+len(`{"data":}`))
	return append(append(append(text, `{"data":`...), response.Data...), '}'), nil
}

func (g *Door) write(w http.ResponseWriter, _ *http.Request, status int, response *graphql.Response) {
	text, err := encode(response)
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"errors":[{"message":"internal error","extensions":{"code":"HX-INT-001","kind":"internal"}}]}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // the client is gone: nobody to tell
}

package rest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// private registers an operation that needs a principal. The order holds for
// all: authenticate, then read the body, then judge it.
func private[I, O any](a *API, op huma.Operation, h func(ctx context.Context, p tenant.Principal, in *I) (*O, error)) {
	op.Security = []map[string][]string{{schemeBearer: {}}, {schemeAPIKey: {}}}
	if a.deps.Sessions != nil {
		op.Security = append(op.Security, map[string][]string{schemeSession: {}})
	}
	op.Middlewares = huma.Middlewares{a.authenticate}
	op.Parameters = append(op.Parameters, keyParameters(op)...)
	a.guarded[op.Method+" "+op.Path] = true
	register(a, op, func(ctx context.Context, in *I) (*O, error) {
		// Without the middleware this is the zero Principal, which may do nothing.
		c, _ := ctx.Value(callerKey{}).(caller)
		out, err := h(ctx, c.principal, in)
		a.deps.Gate.Refused(ctx, c.principal, op.OperationID, err)
		if c.principal.Replayed() && err == nil {
			c.header.Set(headerReplayed, "true")
		}
		return out, err
	})
	a.documentReplay(op)
}

// register registers an operation that is open to everybody.
func register[I, O any](a *API, op huma.Operation, h func(ctx context.Context, in *I) (*O, error)) {
	op.Middlewares = append(op.Middlewares, a.admit)
	op.Responses = withProblem(a.huma.OpenAPI().Components.Schemas, op.Responses)
	huma.Register(a.huma, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, err)
		}
		return out, nil
	})
}

// callerKey carries the caller over the one hop from the middleware to the
// handler, which gets it as an argument; nothing else looks into the context.
type callerKey struct{}

// caller is who calls, by which request, and the header of the answer.
type caller struct {
	principal tenant.Principal
	request   *http.Request
	header    http.Header
}

// door is what events call this way in.
const door = "rest"

func (a *API) authenticate(hc huma.Context, next func(huma.Context)) {
	r, w := humago.Unwrap(hc)
	p, err := a.deps.Gate.Enter(r, door)
	if err != nil {
		a.refuse(w, r, err)
		return
	}
	allowance, err := a.deps.Gate.Charge(r.Context(), p, hc.Operation().OperationID)
	allowance.Set(w.Header())
	if err != nil {
		allowance.SetRetry(w.Header())
		a.refuse(w, r, err)
		return
	}
	if takesKey(hc.Operation()) {
		p = p.Keyed(r.Header.Get(headerKey))
	}
	next(huma.WithValue(hc, callerKey{}, caller{p, r, w.Header()}))
}

// admit reads and checks the body before huma sees it.
func (a *API) admit(hc huma.Context, next func(huma.Context)) {
	e := &exchange{humaContext: hc}
	if hc.Operation().RequestBody != nil {
		r, w := humago.Unwrap(hc)
		body, err := a.readBody(w, r)
		e.json = !hc.Operation().SkipValidateBody
		if err == nil && e.json && len(body) > 0 {
			err = checkJSON(r.Header.Get("Content-Type"), body)
		}
		if err != nil {
			a.refuse(w, r, err)
			return
		}
		e.body.Reset(body)
	}
	next(e)
}

// readBody reads at most maxBody bytes within a.body. Once the body is read
// whole, the handler may take its time: the read deadline is lifted, or the
// server would take it for a client that hung up.
func (a *API) readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(a.body)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fault.Wrap(err, fault.Cancelled, "HX-API-010", "the connection is gone", "")
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var (
		large *http.MaxBytesError
		slow  net.Error
	)
	switch {
	case errors.As(err, &large):
		return nil, newProblem(http.StatusRequestEntityTooLarge, "HX-API-003", "the body is larger than 1 MiB", "submit in parts")
	case errors.As(err, &slow) && slow.Timeout():
		w.Header().Set("Connection", "close")
		return nil, newProblem(http.StatusRequestTimeout, "HX-API-004", "the body did not arrive in time", "send it faster")
	case err != nil:
		w.Header().Set("Connection", "close")
		return nil, newProblem(http.StatusBadRequest, "HX-API-011", "the body broke off", "send it again")
	}
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return nil, fault.Wrap(err, fault.Cancelled, "HX-API-010", "the connection is gone", "")
	}
	return body, nil
}

// exchange is huma's view of a request after admit: the body is in memory, and
// the status of a refusal is that of the Problem, not huma's.
type exchange struct {
	humaContext
	body    bytes.Reader
	json    bool     // the body is JSON, whatever the content type says
	refused *Problem // what transform made of huma's own error
}

// humaContext is huma.Context under a name that does not hide its method Context.
type humaContext = huma.Context

// Unwrap leads humago.Unwrap to the request.
func (e *exchange) Unwrap() huma.Context { return e.humaContext }

// BodyReader returns the body that admit read.
func (e *exchange) BodyReader() io.Reader { return &e.body }

// Header returns a request header. Nothing is negotiated: every answer is JSON.
func (e *exchange) Header(name string) string {
	if name == "Accept" || name == "Content-Type" && e.json {
		return mediaJSON
	}
	return e.humaContext.Header(name)
}

// SetReadDeadline does nothing: the body is read. Huma would leave a deadline
// behind that cancels a handler which takes longer.
func (e *exchange) SetReadDeadline(time.Time) error { return nil }

// SetStatus writes the header.
func (e *exchange) SetStatus(code int) {
	if e.refused != nil {
		code = e.refused.Status
	}
	e.humaContext.SetStatus(code)
}

// transform turns huma's own errors into problems. The values that huma quotes
// are left out: they may be secrets in the wrong place.
func (a *API) transform(hc huma.Context, _ string, v any) (any, error) {
	model, ours := v.(*huma.ErrorModel)
	e, admitted := hc.(*exchange)
	if !ours || !admitted {
		return v, nil
	}
	p := newProblem(http.StatusBadRequest, "HX-API-006", "the request does not have the form that the operation takes",
		"compare it with the operation in /openapi.json")
	if model.Status >= http.StatusInternalServerError {
		p = newProblem(model.Status, "HX-INT-001", "internal error", "see the daemon's log")
	}
	for _, detail := range model.Errors {
		if detail != nil {
			p.Errors = append(p.Errors, Item{Location: detail.Location, Message: detail.Message})
		}
	}
	slices.SortStableFunc(p.Errors, byLocation)
	if len(p.Errors) > maxItems {
		p.Errors = p.Errors[:maxItems]
	}
	if len(p.Errors) > 0 {
		p.Detail += ": " + p.Errors[0].Location + ": " + p.Errors[0].Message
	} else if model.Detail != "" {
		p.Detail += ": " + model.Detail
	}
	e.refused = a.problem(hc.Context(), p)
	return e.refused, nil
}

// maxItems bounds the list of what is wrong with one request.
const maxItems = 50

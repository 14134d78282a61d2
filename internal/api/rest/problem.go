package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/service"
)

// Problem is how every error is answered (RFC 9457, application/problem+json).
// It is also the error that a handler returns when it has more to say than a
// fault.Error.
//
//nolint:errname // the name is the schema's in the document
type Problem struct {
	Title     string `json:"title" doc:"The HTTP status in words"`
	Status    int    `json:"status" doc:"The HTTP status"`
	Detail    string `json:"detail" doc:"What happened, and why"`
	Code      string `json:"code" doc:"Names the case; stable" example:"HX-JOB-005"`
	Fix       string `json:"fix,omitempty" doc:"What to do about it"`
	RequestID string `json:"request_id,omitempty" doc:"Names this request in the daemon's log"`
	Errors    []Item `json:"errors,omitempty" doc:"The single errors, where there may be several" nullable:"false"`

	cause error // the fault that it tells of; nil: there is none
}

// Item is one of several errors in one answer.
type Item struct {
	Index    *int   `json:"index,omitempty" doc:"Position of the job in the request, from 0"`
	Location string `json:"location,omitempty" doc:"Where in the request" example:"body.limit"`
	Code     string `json:"code,omitempty" doc:"Names the case; stable"`
	Message  string `json:"message" doc:"What is wrong, and why"`
	Fix      string `json:"fix,omitempty" doc:"What to do about it"`
}

// statusClientGone is what nginx calls the answer that nobody waits for.
const statusClientGone = 499

// statuses is the one table from kind to HTTP status (design §4).
var statuses = [...]int{
	fault.Internal:        http.StatusInternalServerError,
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Denied:          http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Unprocessable:   http.StatusUnprocessableEntity,
	fault.Exhausted:       http.StatusTooManyRequests,
	fault.Cancelled:       statusClientGone,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Timeout:         http.StatusGatewayTimeout,
	fault.Corrupt:         http.StatusInternalServerError,
}

// problem turns an error into its answer, and logs one that is ours with its
// causes: they are not answered.
func (a *API) problem(ctx context.Context, err error) *Problem {
	var p *Problem
	if !errors.As(err, &p) {
		e := fault.As(err)
		p = newProblem(statuses[e.Kind], e.Code, e.Msg, e.Fix)
		p.cause = err
	}
	p.RequestID = gate.RequestID(ctx)
	if p.Status >= http.StatusInternalServerError {
		a.deps.Log.LogAttrs(ctx, slog.LevelError, "request failed", slog.String("request_id", p.RequestID),
			slog.String("code", p.Code), slog.String("error", fault.Detail(err)))
	}
	return p
}

func newProblem(status int, code, detail, fix string) *Problem {
	title := http.StatusText(status)
	if status == statusClientGone {
		title = "Client Closed Request"
	}
	return &Problem{Title: title, Status: status, Detail: detail, Code: code, Fix: fix}
}

// refusals lists what became of the refused jobs of a submit.
func refusals(refused []service.Refusal) []Item {
	items := make([]Item, len(refused))
	for i, r := range refused {
		items[i] = Item{Index: &r.Index, Code: r.Error.Code, Message: r.Error.Message, Fix: r.Error.Fix}
	}
	return items
}

// Error returns the detail.
func (p *Problem) Error() string { return p.Detail }

// Unwrap leads to the fault.
func (p *Problem) Unwrap() error { return p.cause }

// GetStatus tells huma the status.
func (p *Problem) GetStatus() int { return p.Status }

// ContentType tells huma the content type.
func (*Problem) ContentType(string) string { return problemType }

const problemType = "application/problem+json"

// GetHeaders tells huma the headers that go with the status.
func (p *Problem) GetHeaders() http.Header {
	h := http.Header{}
	switch p.Status {
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="hypervisord"`)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		h.Set("Retry-After", "2")
	case http.StatusConflict:
		if p.Code == service.InFlight {
			h.Set("Retry-After", "1")
		}
	}
	return h
}

// refuse answers an error where huma has no hand in it.
func (a *API) refuse(w http.ResponseWriter, r *http.Request, err error) {
	p := a.problem(r.Context(), err)
	if a.deps.Gate != nil && (p.Status == http.StatusUnauthorized || p.Code == gate.CodeGuessed) {
		strikes := a.deps.Gate.Strikes(r)
		strikes.Set(w.Header())
		if p.Code == gate.CodeGuessed {
			strikes.SetRetry(w.Header())
		}
	}
	for name, values := range p.GetHeaders() {
		if w.Header().Get(name) == "" { // the limit knows better how long to wait
			w.Header()[name] = values
		}
	}
	w.Header().Set("Content-Type", problemType)
	w.Header().Del("Content-Length")
	w.WriteHeader(p.Status)
	_ = encode(w, p) // the client is gone: nobody to tell
}

// encode writes JSON in one piece, so that what cannot be encoded leaves no half
// of an answer.
func encode(w io.Writer, v any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

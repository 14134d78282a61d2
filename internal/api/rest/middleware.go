package rest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/gate"
)

// middleware is what every request passes, outermost first.
func (a *API) middleware() http.Handler {
	csrf := http.NewCrossOriginProtection()
	csrf.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.refuse(w, r, fault.New(fault.Denied, "HX-API-012", "a page of another origin may not do that", "call the API from your own program"))
	}))
	return a.observe(a.recovered(csrf.Handler(http.HandlerFunc(a.route))))
}

// methods are the values that the method label may take besides "other".
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
	http.MethodDelete, http.MethodOptions,
}

// observe names the request, watches its end, and sets the headers of all answers.
func (a *API) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin := time.Now()
		id := r.Header.Get("X-Request-ID")
		if !isRequestID(id) {
			id = rand.Text()
		}
		h := w.Header()
		h.Set("X-Request-ID", id)
		secureHeaders(h, r)
		rec := &recorder{ResponseWriter: w}
		r = r.WithContext(gate.WithRequestID(a.trace(r), id))
		defer func() { a.over(rec, r, id, time.Since(begin)) }()
		next.ServeHTTP(rec, r) // the mux notes the pattern in r: nobody may copy r on the way
	})
}

// over tells the log and the observer about a request. What the caller chose
// (path, query, headers) is in neither.
func (a *API) over(rec *recorder, r *http.Request, id string, took time.Duration) {
	method, route := "other", "other"
	if slices.Contains(methods, r.Method) {
		method = r.Method
	}
	if _, path, ok := strings.Cut(r.Pattern, " "); ok {
		route = path
	} else if r.Pattern != "" { // a door takes every method
		route = r.Pattern
	}
	level := slog.LevelInfo
	if slices.Contains(quiet, route) {
		level = slog.LevelDebug
	}
	a.deps.Log.LogAttrs(r.Context(), level, "request", slog.String("request_id", id), slog.String("method", method),
		slog.String("route", route), slog.Int("status", rec.code()), slog.Int64("bytes", rec.bytes),
		slog.Duration("took", took))
	if a.deps.Observe != nil {
		a.deps.Observe(r.Context(), method, route, rec.code(), took)
	}
	traced(r.Context(), method, route, rec)
}

// quiet are the routes that machines ask every few seconds.
var quiet = []string{"/health", "/livez", "/readyz", "/startupz", "/metrics"}

// recovered answers a panic with an id that the log explains. An answer that has
// begun is cut off, so that nobody takes it for whole.
func (a *API) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v)
			}
			a.deps.Log.LogAttrs(r.Context(), slog.LevelError, "panic", slog.String("request_id", gate.RequestID(r.Context())),
				slog.String("panic", describe(v)), slog.String("stack", string(debug.Stack())))
			if rec, ok := w.(*recorder); ok && rec.status != 0 {
				panic(http.ErrAbortHandler)
			}
			a.refuse(w, r, fault.New(fault.Internal, "HX-INT-004", "the daemon stumbled over this request",
				"report it with the request id; the daemon's log has the rest"))
		}()
		next.ServeHTTP(w, r)
	})
}

// describe tells what the runtime says of a panic; any other value may hold a
// secret and shows its type.
func describe(v any) string {
	if err, ok := v.(runtime.Error); ok {
		return err.Error()
	}
	return fmt.Sprintf("%T", v)
}

// route hands the request to the mux, whose own answers (no such route, wrong
// method) become problems.
func (a *API) route(w http.ResponseWriter, r *http.Request) {
	_, pattern := a.mux.Handler(r)
	name(r, pattern)
	if !a.guarded[pattern] && !a.admitStranger(w, r) {
		return
	}
	if pattern == "" {
		w = &unrouted{ResponseWriter: w, api: a, r: r}
	}
	a.mux.ServeHTTP(w, r)
}

// admitStranger takes a turn of the client's for what is open to all, and for what
// is not there. Else the request is answered.
func (a *API) admitStranger(w http.ResponseWriter, r *http.Request) bool {
	if a.deps.Gate == nil {
		return true
	}
	allowance, err := a.deps.Gate.Stranger(r)
	allowance.Set(w.Header())
	if err != nil {
		allowance.SetRetry(w.Header())
		a.refuse(w, r, err)
	}
	return err == nil
}

type unrouted struct {
	http.ResponseWriter
	api     *API
	r       *http.Request
	refused bool
}

// WriteHeader writes the problem in place of the mux's text.
func (u *unrouted) WriteHeader(code int) {
	switch code {
	case http.StatusNotFound:
		u.refused = true
		u.api.refuse(u.ResponseWriter, u.r, newProblem(code, "HX-API-001", "there is no such path", "see /openapi.json"))
	case http.StatusMethodNotAllowed:
		u.refused = true
		u.api.refuse(u.ResponseWriter, u.r, newProblem(code, "HX-API-002", "the path does not take this method",
			"use "+u.Header().Get("Allow")))
	default:
		u.ResponseWriter.WriteHeader(code)
	}
}

// Write drops the mux's text.
func (u *unrouted) Write(p []byte) (int, error) {
	if u.refused {
		return len(p), nil
	}
	return u.ResponseWriter.Write(p)
}

// isRequestID tells whether a caller's id is fit for the log.
func isRequestID(id string) bool {
	return id != "" && len(id) <= 64 && !strings.ContainsFunc(id, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_' && r != '.'
	})
}

// recorder notes what was answered.
type recorder struct {
	http.ResponseWriter
	status int
	bytes  int64
	failed int // the status that stands for an error which HTTP does not show
}

// Failed notes an error that the protocol of another door carries in an answer with
// status 200.
func (r *recorder) Failed(kind fault.Kind) { r.failed = statuses[kind] }

// WriteHeader notes the final status and drops a second one: huma sends it when
// the client is gone.
func (r *recorder) WriteHeader(code int) {
	if r.status != 0 {
		return
	}
	if code >= http.StatusOK {
		r.status = code
	}
	r.ResponseWriter.WriteHeader(code)
}

// Write counts the bytes.
func (r *recorder) Write(p []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	n, err := r.ResponseWriter.Write(p)
	r.bytes += int64(n)
	return n, err
}

// Unwrap leads http.ResponseController to the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

func (r *recorder) code() int {
	if r.failed != 0 {
		return r.failed
	}
	if r.status == 0 {
		return http.StatusOK
	}
	return r.status
}

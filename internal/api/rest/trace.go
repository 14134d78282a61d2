package rest

import (
	"context"
	"net/http"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// trace begins the span of a request, in the trace of the caller if it sent one.
// What machines ask every few seconds is not traced.
func (a *API) trace(r *http.Request) context.Context {
	if a.deps.Tracer == nil || slices.Contains(quiet, r.URL.Path) {
		return r.Context()
	}
	ctx := propagation.TraceContext{}.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, _ = a.deps.Tracer.Start(ctx, "request", trace.WithSpanKind(trace.SpanKindServer)) //nolint:spancheck // traced ends it
	return ctx
}

// name calls the span what the mux calls the route; a door with one route for many
// operations has a better one (gate.Charge).
func name(r *http.Request, pattern string) {
	if pattern != "" {
		trace.SpanFromContext(r.Context()).SetName(pattern)
	}
}

// traced ends the span of a request. What the caller chose is not in it.
func traced(ctx context.Context, method, route string, rec *recorder) {
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(attribute.String("http.request.method", method), attribute.String("http.route", route),
		attribute.Int("http.response.status_code", rec.code()), attribute.Int64("http.response.body.size", rec.bytes))
	if rec.code() >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
	span.End()
}

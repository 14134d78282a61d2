// Package tracing marks work in the trace that a context belongs to
// (OpenTelemetry), and carries what every log line of that work is to say. Outside
// of a trace, and with tracing switched off, a span costs nothing and leaves
// nothing. Who makes the first span is package telemetry.
//
// Names and attributes are the program's own words and numbers: no name that a
// user chose, no path, no URL, no secret.
package tracing

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Scope is the instrumentation scope of all spans.
const Scope = "github.com/hypersdk/hypersdk"

// Span is work that has begun. Its zero value, and one outside of a trace, does
// nothing.
type Span struct{ span trace.Span }

// Start begins a span below the one of ctx. End must be called.
func Start(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, Span) {
	return start(ctx, name, trace.SpanKindInternal, attrs)
}

// Client is Start for a call of somebody else.
func Client(ctx context.Context, name string, attrs ...attribute.KeyValue) (context.Context, Span) {
	return start(ctx, name, trace.SpanKindClient, attrs)
}

func start(ctx context.Context, name string, kind trace.SpanKind, attrs []attribute.KeyValue) (context.Context, Span) {
	parent := trace.SpanFromContext(ctx)
	if !parent.IsRecording() {
		return ctx, Span{}
	}
	ctx, s := parent.TracerProvider().Tracer(Scope).Start(ctx, name, trace.WithAttributes(attrs...), trace.WithSpanKind(kind)) //nolint:spancheck // Span.End
	return ctx, Span{s}                                                                                                        //nolint:spancheck // the same
}

// Set adds attributes.
func (s Span) Set(attrs ...attribute.KeyValue) {
	if s.span != nil {
		s.span.SetAttributes(attrs...)
	}
}

// End ends the span. Of an error it keeps kind and code: a message may name what
// belongs to a user.
func (s Span) End(err error) {
	if s.span == nil {
		return
	}
	Fail(s.span, err)
	s.span.End()
}

// Fail marks a span with an error; nil: not.
func Fail(s trace.Span, err error) {
	if err == nil || !s.IsRecording() {
		return
	}
	f := fault.As(err)
	s.SetStatus(codes.Error, f.Code)
	s.SetAttributes(attribute.String("error.type", f.Kind.String()))
}

// Operation tells the span of the request that ctx belongs to what is asked for,
// and by which door. Where the route does not say it, the span gets its name.
func Operation(ctx context.Context, door, operation string) {
	s := trace.SpanFromContext(ctx)
	if !s.IsRecording() {
		return
	}
	s.SetAttributes(attribute.String("hypervisord.door", door), attribute.String("hypervisord.operation", operation))
	if door != "rest" {
		s.SetName(door + " " + operation)
	}
}

// Detach returns ctx outside of its trace and without its words for the log, for
// work that outlives what began it.
func Detach(ctx context.Context) context.Context {
	return context.WithValue(trace.ContextWithSpan(ctx, nil), wordsKey{}, nil)
}

package tracing

import (
	"context"
	"net/http"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// field is the header of the W3C's Trace Context.
const field = "traceparent"

// Parent returns the place of ctx in its trace, in the form of the W3C's
// traceparent: what others take as the parent of their work. Empty outside of a
// trace.
func Parent(ctx context.Context) string {
	if !trace.SpanContextFromContext(ctx).IsValid() {
		return ""
	}
	carrier := propagation.MapCarrier{}
	propagation.TraceContext{}.Inject(ctx, carrier)
	return carrier[field]
}

// WithParent returns ctx below a place in a trace that Parent told of, here or in
// another process. A text that is none changes nothing.
func WithParent(ctx context.Context, parent string) context.Context {
	if parent == "" {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{field: parent})
}

// Link returns a link to a place in a trace; ok is false if the text is none.
func Link(parent string) (l trace.Link, ok bool) {
	sc := trace.SpanContextFromContext(WithParent(context.Background(), parent))
	return trace.Link{SpanContext: sc}, sc.IsValid()
}

// Inject tells who is called of the trace of ctx.
func Inject(ctx context.Context, h http.Header) {
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
}

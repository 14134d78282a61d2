package tracing

import (
	"context"
	"log/slog"
	"slices"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

type wordsKey struct{}

// words are what the log lines of a context say. Note adds to those of all
// contexts that were made of the same With.
type words struct {
	mu    sync.Mutex
	attrs []slog.Attr
}

// With returns a context whose log lines carry the attributes, besides those of
// ctx.
func With(ctx context.Context, attrs ...slog.Attr) context.Context {
	w := &words{}
	if old, ok := ctx.Value(wordsKey{}).(*words); ok {
		w.attrs = old.list()
	}
	w.attrs = append(w.attrs, attrs...)
	return context.WithValue(ctx, wordsKey{}, w)
}

// Note adds to what the log lines of ctx carry, and of the contexts around it up
// to the last With: who calls is found out after the request has a name.
func Note(ctx context.Context, attrs ...slog.Attr) {
	if w, ok := ctx.Value(wordsKey{}).(*words); ok {
		w.mu.Lock()
		w.attrs = append(w.attrs, attrs...)
		w.mu.Unlock()
	}
}

// Words returns what the log lines of ctx carry, its trace first.
func Words(ctx context.Context) (attrs []slog.Attr) {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		attrs = append(attrs, slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	if w, ok := ctx.Value(wordsKey{}).(*words); ok {
		attrs = append(attrs, w.list()...)
	}
	return attrs
}

func (w *words) list() []slog.Attr {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.attrs)
}

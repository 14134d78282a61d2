package telemetry

import (
	"context"
	"log/slog"
	"slices"

	"github.com/hypersdk/hypersdk/internal/tracing"
)

// contextual adds to each line what its context tells of it: trace, request,
// tenant, job. What the line says by itself stands.
type contextual struct {
	slog.Handler

	bound []string // keys of WithAttrs
}

// Handle implements slog.Handler.
func (h contextual) Handle(ctx context.Context, r slog.Record) error {
	words := tracing.Words(ctx)
	if len(words) == 0 {
		return h.Handler.Handle(ctx, r)
	}
	said := slices.Clone(h.bound)
	r.Attrs(func(a slog.Attr) bool {
		said = append(said, a.Key)
		return true
	})
	r = r.Clone()
	for _, w := range slices.Backward(words) { // the newest word counts
		if !slices.Contains(said, w.Key) {
			said = append(said, w.Key)
			r.AddAttrs(w)
		}
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h contextual) WithAttrs(attrs []slog.Attr) slog.Handler {
	bound := slices.Clone(h.bound)
	for _, a := range attrs {
		bound = append(bound, a.Key)
	}
	return contextual{Handler: h.Handler.WithAttrs(attrs), bound: bound}
}

// WithGroup implements slog.Handler.
func (h contextual) WithGroup(name string) slog.Handler {
	return contextual{Handler: h.Handler.WithGroup(name), bound: h.bound}
}

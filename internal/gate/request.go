package gate

import (
	"context"
	"log/slog"

	"github.com/hypersdk/hypersdk/internal/tracing"
)

type requestIDKey struct{}

// WithRequestID names the request that ctx belongs to, for its log lines, too.
func WithRequestID(ctx context.Context, id string) context.Context {
	return tracing.With(context.WithValue(ctx, requestIDKey{}, id), slog.String("request_id", id))
}

// RequestID returns the name of the request; "" outside of one.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}

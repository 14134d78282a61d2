package telemetry

import (
	"context"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/hypersdk/hypersdk/internal/otlp"
)

// spans implements otlptrace.Client: the batch processor gives a batch half a
// minute.
type spans struct{ client *otlp.Client }

// Start implements otlptrace.Client.
func (spans) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (s spans) Stop(context.Context) error {
	s.client.Close()
	return nil
}

// UploadTraces implements otlptrace.Client.
func (s spans) UploadTraces(ctx context.Context, all []*tracepb.ResourceSpans) error {
	return s.client.Send(ctx, &tracepb.TracesData{ResourceSpans: all})
}

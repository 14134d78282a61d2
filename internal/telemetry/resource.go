package telemetry

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/otlp"
)

// newResource is who sends: what the environment says counts more than what is known
// here. Kind Invalid.
func newResource(ctx context.Context, version string) (*resource.Resource, error) {
	who, err := resource.New(ctx, resource.WithAttributes(
		attribute.String("service.name", "hypervisord"), attribute.String("service.version", version)),
		resource.WithHost(), resource.WithTelemetrySDK(), resource.WithFromEnv())
	return who, fault.Wrap(err, fault.Invalid, "HX-TRACE-006", "OTEL_RESOURCE_ATTRIBUTES cannot be read", "give KEY=VALUE, separated by commas")
}

// Resource is the same as a message of OTLP.
func Resource(ctx context.Context, version string) (*resourcepb.Resource, error) {
	who, err := newResource(ctx, version)
	if err != nil {
		return nil, err
	}
	r := &resourcepb.Resource{}
	for _, a := range who.Attributes() { // all are texts
		r.Attributes = append(r.Attributes, &commonpb.KeyValue{Key: string(a.Key), Value: otlp.Text(a.Value.String())})
	}
	return r, nil
}

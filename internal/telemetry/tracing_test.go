package telemetry

import (
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func environment(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

func TestTracingIsOffUnlessAsked(t *testing.T) {
	t.Parallel()
	on := []string{"OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1"}
	for name, env := range map[string][]string{
		"no endpoint": nil, "disabled": append([]string{"OTEL_SDK_DISABLED", "true"}, on...), "no exporter": append([]string{"OTEL_TRACES_EXPORTER", "none"}, on...),
	} {
		tr, err := NewTracing(t.Context(), environment(env...), TracingOptions{})
		if err != nil || tr.Tracer() != nil || tr.Close(t.Context()) != nil {
			t.Errorf("%s: %v %v", name, tr, err)
		}
	}
	if _, err := NewTracing(t.Context(), environment("OTEL_TRACES_EXPORTER", "zipkin"), TracingOptions{}); !fault.Is(err, fault.Invalid) {
		t.Error(err)
	}
}

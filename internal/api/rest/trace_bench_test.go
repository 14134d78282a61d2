package rest_test

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/gate"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/telemetry"
)

// BenchmarkSubmit tells what tracing costs a submit, without the wait for a disk
// that it has otherwise.
func BenchmarkSubmit(b *testing.B) {
	provider := sdk.NewTracerProvider(sdk.WithBatcher(tracetest.NewNoopExporter()))
	for name, tracer := range map[string]trace.Tracer{"off": nil, "on": provider.Tracer("bench")} {
		b.Run(name, func(b *testing.B) {
			s, err := store.Open(b.Context(), store.Options{Dir: b.TempDir(), Synchronous: store.Off})
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close() }()
			api, err := rest.New(b.Context(), rest.Deps{
				Service: service.New(telemetry.Store(s), service.Deps{Validator: validator{}, Feed: s}),
				Gate:    gate.New(auth.NewKey(digest(key), root()), nil), Tracer: tracer, Log: slog.New(slog.DiscardHandler), Version: "bench",
			})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/jobs/submit", strings.NewReader(`{"vm_path":"/DC/vm/a"}`))
				r.Header.Set("Content-Type", "application/json")
				r.Header.Set("X-Api-Key", key)
				w := httptest.NewRecorder()
				if api.ServeHTTP(w, r); w.Code != http.StatusAccepted {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
	if err := provider.Shutdown(b.Context()); err != nil {
		b.Fatal(err)
	}
}

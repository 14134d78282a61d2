package telemetry

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/otlp"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// TracingOptions tell whose traces they are.
type TracingOptions struct {
	Version string
	Log     *slog.Logger
}

// Tracing makes the first span of each trace and sends spans to a collector, as
// the standard OTEL_* variables say. Without an endpoint it is off: nothing runs,
// nothing is kept.
type Tracing struct {
	provider *sdk.TracerProvider // nil: off
	tracer   trace.Tracer
}

// NewTracing reads the environment. It talks to nobody yet. Kind Invalid names the
// variable that is wrong.
func NewTracing(ctx context.Context, get func(name string) string, o TracingOptions) (*Tracing, error) {
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || get("OTEL_TRACES_EXPORTER") == "none" {
		return &Tracing{}, nil
	}
	if e := get("OTEL_TRACES_EXPORTER"); e != "" && e != "otlp" {
		return nil, fault.New(fault.Invalid, "HX-TRACE-005", "OTEL_TRACES_EXPORTER names an exporter that is not here", "one of otlp, none")
	}
	c, err := otlp.FromEnv(get, otlp.Traces)
	if err != nil || c.Endpoint == nil {
		return &Tracing{}, err
	}
	exporter, err := otlptrace.New(ctx, spans{otlp.New(c, otlp.Traces)})
	if err != nil {
		return nil, fmt.Errorf("start the exporter: %w", err)
	}
	who, err := newResource(ctx, o.Version)
	if err != nil {
		return nil, err
	}
	otel.SetErrorHandler(&complaints{log: o.Log, what: "spans"})
	p := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(who)) // sampler, limits, batches: OTEL_*
	return &Tracing{provider: p, tracer: p.Tracer(tracing.Scope)}, nil
}

// Tracer makes spans; nil if tracing is off.
func (t *Tracing) Tracer() trace.Tracer { return t.tracer }

// Close sends what has ended. It is idempotent.
func (t *Tracing) Close(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("send the last spans: %w", err)
	}
	return nil
}

// Dispatch adds to hooks for dispatch.Options what begins the span of a run. The
// span lies in the trace of the submit, however long that is ago; it has a link to
// the run before, which a crash or a retry ended.
func (t *Tracing) Dispatch(h dispatch.Hooks) dispatch.Hooks {
	next := h.Enter
	h.Enter = func(ctx context.Context, l dispatch.Lease, cleanup bool) (context.Context, func(outcome string)) {
		ctx = tracing.With(ctx, slog.String("tenant", l.Job.Tenant), slog.String("job", l.Job.ID))
		ctx, end := t.enter(ctx, l.Job, cleanup)
		ctx, leave := next(ctx, l, cleanup)
		return ctx, func(outcome string) {
			leave(outcome)
			end(outcome)
		}
	}
	return h
}

func (t *Tracing) enter(ctx context.Context, j job.Job, cleanup bool) (context.Context, func(outcome string)) {
	if t.tracer == nil {
		return ctx, func(string) {}
	}
	name := "run job"
	if cleanup {
		name = "clean up job"
	}
	o := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(ofJob(j)...)}
	if before, ok := tracing.Link(j.RunTrace); ok {
		o = append(o, trace.WithLinks(before))
	}
	ctx, span := t.tracer.Start(tracing.WithParent(ctx, j.Trace), name, o...)
	return ctx, func(outcome string) {
		span.SetAttributes(attribute.String("hypervisord.run.outcome", outcome))
		span.End()
	}
}

// ofJob is what a span tells of a job: nothing that its owner chose but enums.
func ofJob(j job.Job) []attribute.KeyValue {
	kind := j.Spec.Format
	if j.Spec.IsWorkflow() {
		kind = workflowFormat
	}
	return []attribute.KeyValue{
		attribute.String("hypervisord.job.id", j.ID), attribute.String("hypervisord.tenant", j.Tenant),
		attribute.String("hypervisord.job.format", kind), attribute.String("hypervisord.job.priority", string(j.Priority)),
		attribute.Int("hypervisord.job.attempt", j.Attempt), attribute.Int64("hypervisord.job.epoch", j.Epoch),
	}
}

// complaints logs what OpenTelemetry cannot do, once a minute at most: a collector
// that is down is no news for each batch.
type complaints struct {
	log  *slog.Logger
	what string       // is lost
	last atomic.Int64 // unix
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	now, last := time.Now().Unix(), c.last.Load()
	if now-last < 60 || !c.last.CompareAndSwap(last, now) {
		return
	}
	c.log.Warn(c.what+" are lost", "error", fault.Detail(err))
}

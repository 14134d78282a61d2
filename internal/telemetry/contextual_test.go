package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

const parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

// TestLinesCarryTheirContext: once each, the newest word, and never in place of
// what the line says itself.
func TestLinesCarryTheirContext(t *testing.T) {
	t.Parallel()
	outer := tracing.With(tracing.WithParent(context.Background(), parent), slog.String("request_id", "r1"), slog.String("job", "outer"))
	inner := tracing.With(outer, slog.String("job", "inner"))
	tracing.Note(inner, slog.String("tenant", "acme"))
	for name, c := range map[string]struct {
		log  func(l *slog.Logger)
		want map[string]any // without time, level, msg
	}{
		"none":     {func(l *slog.Logger) { l.Info("x", "a", 1) }, map[string]any{"a": 1.0}},
		"outer":    {func(l *slog.Logger) { l.InfoContext(outer, "x") }, map[string]any{"trace_id": parent[3:35], "span_id": parent[36:52], "request_id": "r1", "job": "outer"}},
		"inner":    {func(l *slog.Logger) { l.InfoContext(inner, "x") }, map[string]any{"trace_id": parent[3:35], "span_id": parent[36:52], "request_id": "r1", "job": "inner", "tenant": "acme"}},
		"itself":   {func(l *slog.Logger) { l.InfoContext(inner, "x", "job", "own") }, map[string]any{"trace_id": parent[3:35], "span_id": parent[36:52], "request_id": "r1", "job": "own", "tenant": "acme"}},
		"bound":    {func(l *slog.Logger) { l.With("job", "bound").InfoContext(inner, "x") }, map[string]any{"trace_id": parent[3:35], "span_id": parent[36:52], "request_id": "r1", "job": "bound", "tenant": "acme"}},
		"detached": {func(l *slog.Logger) { l.InfoContext(tracing.Detach(inner), "x") }, map[string]any{}},
	} {
		var b bytes.Buffer
		l, _, err := telemetry.NewLogger(&b, "debug", "json")
		if err != nil {
			t.Fatal(err)
		}
		c.log(l)
		got := map[string]any{}
		if err := json.Unmarshal(b.Bytes(), &got); err != nil {
			t.Fatal(name, err)
		}
		for _, k := range []string{"time", "level", "msg"} {
			delete(got, k)
		}
		for k, v := range c.want {
			if got[k] != v || strings.Count(b.String(), `"`+k+`":`) != 1 {
				t.Errorf("%s: %s", name, b.String())
			}
		}
		if len(got) != len(c.want) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// TestNobodyForgesALine: whatever a value holds, it is one line and one value.
func TestNobodyForgesALine(t *testing.T) {
	t.Parallel()
	const forged = "x\"}\n{\"level\":\"ERROR\",\"msg\":\"forged\r\u2028\x1b[31m\x00 \xff"
	for _, format := range []string{"json", "text"} {
		var b bytes.Buffer
		l, _, err := telemetry.NewLogger(&b, "debug", format)
		if err != nil {
			t.Fatal(err)
		}
		ctx := tracing.With(context.Background(), slog.String("request_id", forged))
		l.InfoContext(ctx, forged, "vm", forged, "error", context.Canceled)
		if text := b.String(); strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "\n") || strings.ContainsAny(text, "\r\x1b\x00") {
			t.Errorf("%s: %q", format, text)
		}
		var line map[string]any
		if format == "json" && (json.Unmarshal(b.Bytes(), &line) != nil || line["level"] != "INFO") {
			t.Errorf("%q", b.String())
		}
	}
}

// TestPlaces: what one process tells of its place in a trace another one takes up;
// what is no such text changes nothing.
func TestPlaces(t *testing.T) {
	t.Parallel()
	if got := tracing.Parent(tracing.WithParent(context.Background(), parent)); got != parent {
		t.Errorf("%q", got)
	}
	if l, ok := tracing.Link(parent); !ok || l.SpanContext.SpanID().String() != parent[36:52] {
		t.Errorf("%+v %v", l, ok)
	}
	for _, text := range []string{"", "00", "00-00000000000000000000000000000000-00f067aa0ba902b7-01", parent + "\n", strings.ToUpper(parent)} {
		if got := tracing.Parent(tracing.WithParent(context.Background(), text)); got != "" {
			t.Errorf("%q leads to %q", text, got)
		}
		if _, ok := tracing.Link(text); ok {
			t.Errorf("%q is a link", text)
		}
	}
}

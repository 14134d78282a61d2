package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// logCollector is an OTLP endpoint that decodes with OpenTelemetry's own types.
type logCollector struct {
	*httptest.Server
	mu      sync.Mutex
	records []*logspb.LogRecord
	gate    chan struct{} // nil: open; else each request waits for it
}

func newLogCollector(t *testing.T) *logCollector {
	t.Helper()
	c := &logCollector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.gate != nil {
			<-c.gate
		}
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			t.Error(err)
			return
		}
		body, _ := io.ReadAll(z)
		var batch logspb.LogsData
		if err := proto.Unmarshal(body, &batch); err != nil || r.URL.Path != "/v1/logs" {
			t.Error(r.URL, err)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.records = append(c.records, batch.GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()...)
	}))
	t.Cleanup(c.Close)
	return c
}

func newTestLogs(t *testing.T, env ...string) *Logs {
	t.Helper()
	l, err := NewLogs(t.Context(), environment(append(env, "OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")...), TracingOptions{Version: "v1", Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// TestLogsAreOffUnlessAsked: what asks for them, and what is refused.
func TestLogsAreOffUnlessAsked(t *testing.T) {
	t.Parallel()
	const general, own = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"
	for name, c := range map[string]struct {
		env   []string
		on    bool
		fails string
	}{
		"nothing":           {nil, false, ""},
		"only traces":       {[]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1"}, false, ""},
		"general":           {[]string{general, "http://127.0.0.1:1"}, true, ""},
		"of the signal":     {[]string{own, "http://127.0.0.1:1/x"}, true, ""},
		"by the exporter":   {[]string{"OTEL_LOGS_EXPORTER", "otlp"}, true, ""},
		"disabled":          {[]string{general, "http://127.0.0.1:1", "OTEL_SDK_DISABLED", "TRUE"}, false, ""},
		"no exporter":       {[]string{general, "http://127.0.0.1:1", "OTEL_LOGS_EXPORTER", "none"}, false, ""},
		"another exporter":  {[]string{"OTEL_LOGS_EXPORTER", "console"}, false, "OTEL_LOGS_EXPORTER"},
		"no URL":            {[]string{own, "hunter2"}, false, "ENDPOINT"},
		"no number":         {[]string{general, "http://127.0.0.1:1", "OTEL_BLRP_MAX_QUEUE_SIZE", "hunter2"}, false, "OTEL_BLRP_MAX_QUEUE_SIZE"},
		"a queue of no use": {[]string{general, "http://127.0.0.1:1", "OTEL_BLRP_MAX_QUEUE_SIZE", "0"}, false, "OTEL_BLRP_MAX_QUEUE_SIZE"},
	} {
		l, err := NewLogs(t.Context(), environment(c.env...), TracingOptions{})
		if c.fails != "" {
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(name, err)
		}
		log := slog.New(slog.DiscardHandler)
		if on := l.Tee(log) != log; on != c.on || l.Close(t.Context()) != nil || l.Close(t.Context()) != nil {
			t.Errorf("%s: on is %v", name, on)
		}
	}
}

// TestLogsAreTheLines: what is sent is what is written, with the same words left out,
// and its place in the trace.
func TestLogsAreTheLines(t *testing.T) {
	t.Parallel()
	c := newLogCollector(t)
	l := newTestLogs(t, "OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	var written bytes.Buffer
	plain, level, err := NewLogger(&written, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	const canary = "c4n4ry"
	log := l.Tee(plain).With("bound", 1.5)
	ctx := tracing.With(tracing.WithParent(context.Background(), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), slog.String("job", "j1"))
	log.DebugContext(ctx, "not heard")
	log.WarnContext(ctx, "heard at https://u:"+canary+"@h/", "password", canary, "n", 7, "ok", true, "took", 1500*time.Millisecond,
		slog.Group("vsphere", slog.String("token", canary), slog.String("host", "h1")), "error", errors.New("https://u:"+canary+"@h/"))
	level.Set(slog.LevelDebug)
	log.WithGroup("g").Debug("heard, too", "list", []string{"a", "b"})
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(c.records) != 2 || strings.Count(written.String(), "\n") != 2 {
		t.Fatalf("%v\n%s", c.records, &written)
	}
	r := c.records[0]
	if r.GetSeverityText() != "WARN" || r.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN || time.Since(time.Unix(0, int64(r.GetTimeUnixNano()))) > time.Minute ||
		len(r.GetTraceId()) != 16 || r.GetTraceId()[0] != 0x4b || len(r.GetSpanId()) != 8 || !strings.HasPrefix(r.GetBody().GetStringValue(), "heard at ") {
		t.Errorf("%v", r)
	}
	got := map[string]string{}
	for _, a := range r.GetAttributes() {
		got[a.GetKey()] = strings.ReplaceAll(a.GetValue().String(), "  ", " ")
	}
	for key, want := range map[string]string{
		"job": `string_value:"j1"`, "bound": "double_value:1.5", "n": "int_value:7", "ok": "bool_value:true", "took_seconds": "double_value:1.5", "password": `string_value:"[redacted]"`,
	} {
		if got[key] != want {
			t.Errorf("%s is %q, want %q", key, got[key], want)
		}
	}
	if len(got) != 8 || !strings.Contains(got["vsphere"], "h1") || strings.Contains(r.String()+c.records[1].String(), canary) {
		t.Errorf("%v", r)
	}
	if second := c.records[1].String(); !strings.Contains(second, `"list"`) || !strings.Contains(second, `"b"`) || c.records[1].GetTraceId() != nil {
		t.Error(second)
	}
}

// TestLogsNeverWait: while a collector hangs, as many lines wait as may, the others are
// counted, and whoever logs goes on; nothing that was taken is lost after that.
func TestLogsNeverWait(t *testing.T) {
	t.Parallel()
	c := newLogCollector(t)
	c.gate = make(chan struct{})
	l := newTestLogs(t, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", c.URL+"/v1/logs", "OTEL_BLRP_MAX_QUEUE_SIZE", "10", "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE", "4", "OTEL_BLRP_SCHEDULE_DELAY", "1")
	plain, _, err := NewLogger(io.Discard, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	log := l.Tee(plain)
	for range 100 {
		log.Info("x")
	}
	if d := l.dropped.Load(); d < 100-10-4-1 || l.sent.Load() != 0 { // the queue, a batch on its way, a line between them
		t.Errorf("%d of 100 are dropped", d)
	}
	close(c.gate)
	if err := l.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	log.Info("too late") // and nobody waits for it
	if sent := l.sent.Load(); int(sent) != len(c.records) || sent < 10 || sent+l.dropped.Load() != 100 {
		t.Errorf("%d are sent, %d are dropped, %d came", sent, l.dropped.Load(), len(c.records))
	}
}

// TestLogsWithoutACollector: what cannot be sent is counted, and holds up no stop.
func TestLogsWithoutACollector(t *testing.T) {
	t.Parallel()
	l := newTestLogs(t, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1", "OTEL_BLRP_EXPORT_TIMEOUT", "20")
	plain, _, err := NewLogger(io.Discard, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		l.Tee(plain).Info("x")
	}
	if err := l.Close(t.Context()); err != nil || l.dropped.Load() != 3 || l.sent.Load() != 0 {
		t.Errorf("%v, %d are dropped, %d are sent", err, l.dropped.Load(), l.sent.Load())
	}
}

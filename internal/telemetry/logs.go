package telemetry

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/otlp"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

// Logs sends the lines of a log to a collector, too, as the standard OTEL_* variables
// say. Whoever logs never waits for it: lines go through a queue with a bound, and
// those that find it full are dropped and counted.
type Logs struct {
	client *otlp.Client // nil: off
	who    *resourcepb.Resource
	queue  chan []byte // lines of JSON
	batch  int         // records
	delay  time.Duration
	limit  time.Duration // of one batch, with what is tried again

	sent, dropped atomic.Int64
	complain      *complaints
	stop          func() // ends the queue; once
	quit, done    chan struct{}
	ctx           context.Context //nolint:containedctx // of the goroutine: Close ends it
	cancel        context.CancelFunc
}

// NewLogs reads the environment, and starts what sends. Close must follow. Kind
// Invalid names the variable that is wrong.
func NewLogs(ctx context.Context, get func(name string) string, o TracingOptions) (*Logs, error) {
	exporter := get("OTEL_LOGS_EXPORTER")
	if strings.EqualFold(get("OTEL_SDK_DISABLED"), "true") || exporter == "none" {
		return &Logs{}, nil
	}
	if exporter != "" && exporter != "otlp" {
		return nil, fault.New(fault.Invalid, "HX-TRACE-010", "OTEL_LOGS_EXPORTER names an exporter that is not here", "one of otlp, none")
	}
	if get("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT") == "" && get("OTEL_EXPORTER_OTLP_ENDPOINT") == "" && exporter != "" {
		get = withDefault(get, "OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
	}
	c, err := otlp.FromEnv(get, otlp.Logs)
	if err != nil || c.Endpoint == nil {
		return &Logs{}, err
	}
	l := &Logs{client: otlp.New(c, otlp.Logs), complain: &complaints{log: o.Log, what: "log records"}, quit: make(chan struct{}), done: make(chan struct{})}
	if l.who, err = Resource(ctx, o.Version); err != nil {
		return nil, err
	}
	if err := l.bounds(get); err != nil {
		return nil, err
	}
	l.stop = sync.OnceFunc(func() { close(l.quit) })
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	go l.run()
	return l, nil
}

func withDefault(get func(string) string, name, value string) func(string) string {
	return func(n string) string {
		if v := get(n); v != "" || n != name {
			return v
		}
		return value
	}
}

// bounds reads the OTEL_BLRP_* variables.
func (l *Logs) bounds(get func(string) string) error {
	numbers := map[string]int{"SCHEDULE_DELAY": 1000, "EXPORT_TIMEOUT": 30_000, "MAX_QUEUE_SIZE": 2048, "MAX_EXPORT_BATCH_SIZE": 512}
	for name := range numbers {
		text := get("OTEL_BLRP_" + name)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > 1<<20 {
			return fault.New(fault.Invalid, "HX-TRACE-011", "OTEL_BLRP_"+name+" has a value that cannot be used", "give a whole number above 0")
		}
		numbers[name] = n
	}
	l.queue, l.batch = make(chan []byte, numbers["MAX_QUEUE_SIZE"]), numbers["MAX_EXPORT_BATCH_SIZE"]
	l.delay, l.limit = time.Duration(numbers["SCHEDULE_DELAY"])*time.Millisecond, time.Duration(numbers["EXPORT_TIMEOUT"])*time.Millisecond
	return nil
}

// Tee returns a logger whose lines are sent, too: the same lines, with the same words
// left out. Off, it is the one that is given.
func (l *Logs) Tee(log *slog.Logger) *slog.Logger {
	if l.client == nil {
		return log
	}
	lines := slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.Level(math.MinInt), ReplaceAttr: clean})
	return slog.New(tee{log.Handler(), contextual{Handler: lines}})
}

// Write takes a line of JSON. It implements io.Writer for slog, and never waits.
func (l *Logs) Write(line []byte) (int, error) {
	select {
	case l.queue <- bytes.Clone(line):
	default:
		l.dropped.Add(1)
	}
	return len(line), nil
}

// lastTime is how long a collector may take when the daemon stops: one that is away
// must not hold it up.
const lastTime = 3 * time.Second

// Close sends what there is, until ctx is done. It is idempotent.
func (l *Logs) Close(ctx context.Context) error {
	if l.client == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, lastTime)
	defer cancel()
	l.stop()
	select {
	case <-l.done:
	case <-ctx.Done():
		l.cancel()
		<-l.done
	}
	l.cancel()
	l.client.Close()
	return nil
}

// run sends batches until Close.
func (l *Logs) run() {
	defer close(l.done)
	for {
		select {
		case line := <-l.queue:
			l.send(l.gather(line))
		case <-l.quit:
			for len(l.queue) > 0 {
				l.send(l.gather(<-l.queue))
			}
			return
		}
	}
}

// gather makes a batch of a line and those that come within the delay.
func (l *Logs) gather(line []byte) [][]byte {
	batch, quit := [][]byte{line}, l.quit
	timer := time.NewTimer(l.delay)
	defer timer.Stop()
	for len(batch) < l.batch {
		select {
		case line := <-l.queue:
			batch = append(batch, line)
			continue
		default:
		}
		select {
		case line := <-l.queue:
			batch = append(batch, line)
		case <-timer.C:
			return batch
		case <-quit: // what is there is taken first
			return batch
		}
	}
	return batch
}

func (l *Logs) send(batch [][]byte) {
	scope := &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: tracing.Scope}}
	for _, line := range batch {
		if r := logRecord(line); r != nil {
			scope.LogRecords = append(scope.LogRecords, r)
		}
	}
	ctx, cancel := context.WithTimeout(l.ctx, l.limit)
	defer cancel()
	err := l.client.Send(ctx, &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{Resource: l.who, ScopeLogs: []*logspb.ScopeLogs{scope}}}})
	if err != nil {
		l.dropped.Add(int64(len(batch)))
		l.complain.Handle(err)
		return
	}
	l.sent.Add(int64(len(batch)))
}

// severities are those of slog's levels.
var severities = map[string]logspb.SeverityNumber{
	"DEBUG": logspb.SeverityNumber_SEVERITY_NUMBER_DEBUG, "INFO": logspb.SeverityNumber_SEVERITY_NUMBER_INFO,
	"WARN": logspb.SeverityNumber_SEVERITY_NUMBER_WARN, "ERROR": logspb.SeverityNumber_SEVERITY_NUMBER_ERROR,
}

// logRecord reads a line that slog wrote: its message is the body, its place in a
// trace has fields of its own, the rest are attributes. nil: it is none.
func logRecord(line []byte) *logspb.LogRecord {
	d := json.NewDecoder(bytes.NewReader(line))
	d.UseNumber()
	var words map[string]any
	if d.Decode(&words) != nil {
		return nil
	}
	take := func(key string) string {
		s, _ := words[key].(string)
		delete(words, key)
		return s
	}
	r := &logspb.LogRecord{ObservedTimeUnixNano: uint64(time.Now().UnixNano())}
	if at, err := time.Parse(time.RFC3339Nano, take(slog.TimeKey)); err == nil {
		r.TimeUnixNano = uint64(max(0, at.UnixNano()))
	}
	r.SeverityText = take(slog.LevelKey)
	r.SeverityNumber = severities[r.GetSeverityText()]
	r.Body = otlp.Text(take(slog.MessageKey))
	r.TraceId, r.SpanId = identifier(take("trace_id"), 16), identifier(take("span_id"), 8)
	r.Attributes = otlp.Pairs(words)
	return r
}

// identifier decodes an id of so many bytes; nil: it is none.
func identifier(text string, size int) []byte {
	if id, err := hex.DecodeString(text); err == nil && len(id) == size {
		return id
	}
	return nil
}

// tee writes each line twice. The copy cannot fail.
type tee struct {
	slog.Handler

	copy slog.Handler
}

// Handle implements slog.Handler.
func (t tee) Handle(ctx context.Context, r slog.Record) error {
	_ = t.copy.Handle(ctx, r.Clone())
	return t.Handler.Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (t tee) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tee{t.Handler.WithAttrs(attrs), t.copy.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (t tee) WithGroup(name string) slog.Handler {
	return tee{t.Handler.WithGroup(name), t.copy.WithGroup(name)}
}

// WatchLogs counts what is sent. Call it once.
func (m *Metrics) WatchLogs(l *Logs) {
	for result, n := range map[string]*atomic.Int64{"sent": &l.sent, "dropped": &l.dropped} {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "otlp_log_records_total", ConstLabels: prometheus.Labels{"result": result},
			Help: "Log lines for a collector, by what became of them: sent; dropped, because the queue was full or the collector away.",
		}, func() float64 { return float64(n.Load()) }))
	}
}

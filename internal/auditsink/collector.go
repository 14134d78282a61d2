package auditsink

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/otlp"
)

// Scope is the instrumentation scope of the entries.
const Scope = "github.com/hypersdk/hypersdk/audit"

// Collector sends entries as log records by OTLP. A batch is delivered when the
// collector took all of it.
type Collector struct {
	client *otlp.Client
	who    *resourcepb.Resource
}

// NewCollector makes a Collector.
func NewCollector(c otlp.Config, who *resourcepb.Resource) *Collector {
	return &Collector{otlp.New(c, otlp.Logs), who}
}

// Close implements Sink.
func (c *Collector) Close() error {
	c.client.Close()
	return nil
}

// Deliver implements Sink.
func (c *Collector) Deliver(ctx context.Context, b *Batch) error {
	scope := &logspb.ScopeLogs{Scope: &commonpb.InstrumentationScope{Name: Scope}}
	for i := range b.Lines {
		e, ok := b.Lines[i].Entry()
		if !ok {
			continue // retention removed it
		}
		r, err := logRecord(e, b.Lines[i].Hash)
		if err != nil {
			return err
		}
		scope.LogRecords = append(scope.LogRecords, r)
	}
	if len(scope.GetLogRecords()) == 0 {
		return nil
	}
	return c.client.Post(ctx, &logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{{Resource: c.who, ScopeLogs: []*logspb.ScopeLogs{scope}}}})
}

// logRecord is an entry as a log record: its body is the entry, its uid the place, by
// which a store can tell what it got twice.
func logRecord(e audit.Entry, hash audit.Hash) (*logspb.LogRecord, error) {
	text, err := json.Marshal(fileLine{e, hash})
	if err != nil {
		return nil, fmt.Errorf("encode entry %d: %w", e.Pos, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var body map[string]any
	if err := d.Decode(&body); err != nil {
		return nil, fmt.Errorf("encode entry %d: %w", e.Pos, err)
	}
	at := uint64(max(0, e.Timestamp.UnixNano()))
	r := &logspb.LogRecord{
		TimeUnixNano: at, ObservedTimeUnixNano: at, EventName: e.Event, Body: otlp.Value(body),
		SeverityNumber: logspb.SeverityNumber_SEVERITY_NUMBER_INFO, SeverityText: "INFO",
		Attributes: []*commonpb.KeyValue{
			{Key: "log.record.uid", Value: otlp.Text("audit-" + strconv.FormatInt(e.Pos, 10))},
			{Key: "hypervisord.audit.action", Value: otlp.Text(e.Action)},
			{Key: "hypervisord.audit.result", Value: otlp.Text(e.Result)},
		},
	}
	if e.Result != "success" {
		r.SeverityNumber, r.SeverityText = logspb.SeverityNumber_SEVERITY_NUMBER_WARN, "WARN"
	}
	if id, err := hex.DecodeString(e.TraceID); err == nil && len(id) == 16 {
		r.TraceId = id
	}
	return r, nil
}

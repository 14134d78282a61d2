package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// audits are the metrics of the audit log that this node counts.
type audits struct {
	entries *prometheus.CounterVec
	taken   *prometheus.CounterVec
	errors  *prometheus.CounterVec
}

func (m *Metrics) auditMetrics() audits {
	a := audits{
		entries: m.counters("audit_entries_total", "Entries that this node gave their places in the audit log, by result: success, failure, denied.", "result"),
		taken:   m.counters("audit_sink_entries_total", "Entries that a sink of the audit log took from this node.", "sink"),
		errors:  m.counters("audit_sink_errors_total", "Batches that a sink of the audit log did not take; each is tried again.", "sink"),
	}
	for _, r := range audit.Results() {
		a.entries.WithLabelValues(r)
	}
	return a
}

// AuditEntries is a hook for the store.
func (m *Metrics) AuditEntries(result string, n int) {
	m.audits.entries.WithLabelValues(result).Add(float64(n))
}

// AuditSinks begins the series of sinks.
func (m *Metrics) AuditSinks(names ...string) {
	for _, name := range names {
		m.audits.taken.WithLabelValues(name)
		m.audits.errors.WithLabelValues(name)
	}
}

// SinkTook is a hook for the sinks.
func (m *Metrics) SinkTook(sink string, entries int) {
	m.audits.taken.WithLabelValues(sink).Add(float64(entries))
}

// SinkFailed is a hook for the sinks.
func (m *Metrics) SinkFailed(sink string) { m.audits.errors.WithLabelValues(sink).Inc() }

// AuditSource tells how the audit log is, and its sinks of this node.
type AuditSource func(ctx context.Context) (audit.State, []audit.Sink, error)

// WatchAudit has the source asked at each scrape.
func (m *Metrics) WatchAudit(source AuditSource) {
	m.registry.MustRegister(&auditLog{source: source, log: m.log})
}

// auditLog collects what the store knows of the log.
type auditLog struct {
	source AuditSource
	log    *slog.Logger
}

var (
	logEntries  = prometheus.NewDesc("hypervisord_audit_log_entries", "Places in the audit log.", nil, nil)
	signed      = prometheus.NewDesc("hypervisord_audit_checkpoint_entries", "Entries that the last signed checkpoint of the audit log covers.", nil, nil)
	signedAge   = prometheus.NewDesc("hypervisord_audit_checkpoint_age_seconds", "How long ago it was signed; a log that does not grow is not signed again.", nil, nil)
	unsignedAge = prometheus.NewDesc("hypervisord_audit_unsigned_seconds", "How long the oldest entry has waited that no checkpoint covers; 0: there is none.", nil, nil)
	sinkLag     = prometheus.NewDesc("hypervisord_audit_sink_lag_entries", "Entries that a sink of the audit log does not have yet.", []string{"sink"}, nil)
	sinkLagTime = prometheus.NewDesc("hypervisord_audit_sink_lag_seconds", "How long the oldest of them has waited.", []string{"sink"}, nil)
)

// Describe implements prometheus.Collector.
func (*auditLog) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{logEntries, signed, signedAge, unsignedAge, sinkLag, sinkLagTime} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. As with the backlog, no answer is no
// zero.
func (a *auditLog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // the interface brings none
	defer cancel()
	s, sinks, err := a.source(ctx)
	if err != nil {
		a.log.LogAttrs(ctx, slog.LevelWarn, "the audit log is not measured for the metrics", slog.String("error", fault.Detail(err)))
		return
	}
	now := time.Now()
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(logEntries, float64(s.Size))
	gauge(signed, float64(s.Signed))
	gauge(signedAge, since(now, s.SignedAt))
	gauge(unsignedAge, since(now, s.Unsigned))
	for _, sink := range sinks {
		gauge(sinkLag, float64(sink.Behind), sink.Name)
		gauge(sinkLagTime, sink.Lag(now).Seconds(), sink.Name)
	}
}

// since is an age in seconds; 0 for no time.
func since(now, t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(0, now.Sub(t).Seconds())
}

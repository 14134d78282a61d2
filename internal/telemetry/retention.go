package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/service"
)

// retained are the metrics of retention.
type retained struct {
	removed *prometheus.CounterVec
	freed   prometheus.Counter
	kept    prometheus.Gauge
}

func (m *Metrics) retention() retained {
	r := retained{
		removed: m.counters("retention_removed_total", "What retention removed: jobs, artifacts (outputs of jobs).", "what"),
		freed:   m.counter("retention_freed_bytes_total", "Bytes of the artifacts that retention removed."),
		kept: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Name: "retention_artifacts_kept", Help: "Artifacts whose time is over, but that were changed and so left alone by the last pass.",
		}),
	}
	m.registry.MustRegister(r.kept)
	for _, what := range []string{"jobs", "artifacts"} {
		r.removed.WithLabelValues(what)
	}
	return r
}

// Retention returns the hooks for service.NewRetention.
func (m *Metrics) Retention() service.RetentionHooks {
	return service.RetentionHooks{Passed: func(r service.RetentionReport) {
		m.retained.removed.WithLabelValues("jobs").Add(float64(r.Jobs))
		m.retained.removed.WithLabelValues("artifacts").Add(float64(r.Artifacts))
		m.retained.freed.Add(float64(r.Bytes))
		m.retained.kept.Set(float64(r.KeptCount))
	}}
}

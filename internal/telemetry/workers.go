package telemetry

import "github.com/prometheus/client_golang/prometheus"

// workers collects what the pool does: one look for each scrape, so that the
// series agree.
type workers struct {
	count func() (size, busy int)
}

var (
	workersNow     = prometheus.NewDesc("hypervisord_workers", "Workers of this node: busy, idle, or draining (they end with their job).", []string{"state"}, nil)
	workersDesired = prometheus.NewDesc("hypervisord_workers_desired", "Workers that this node wants to have.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*workers) Describe(ch chan<- *prometheus.Desc) {
	ch <- workersNow
	ch <- workersDesired
}

// Collect implements prometheus.Collector.
func (w *workers) Collect(ch chan<- prometheus.Metric) {
	size, busy := w.count()
	for state, n := range map[string]int{"busy": min(size, busy), "idle": max(0, size-busy), "draining": max(0, busy-size)} {
		ch <- prometheus.MustNewConstMetric(workersNow, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(workersDesired, prometheus.GaugeValue, float64(size))
}

// Reloaded counts one reload of the configuration.
func (m *Metrics) Reloaded(outcome string) { m.reloads.WithLabelValues(outcome).Inc() }

// Scaled counts one change of the number of workers. reason is one of those of
// package admission.
func (m *Metrics) Scaled(from, to int, reason string) {
	direction := "up"
	if to < from {
		direction = "down"
	}
	m.scaled.WithLabelValues(direction, reason).Inc()
}

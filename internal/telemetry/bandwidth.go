package telemetry

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/limit"
)

// Bandwidth shows the node's limits. Call it once.
func (m *Metrics) Bandwidth(t *limit.Tree) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: namespace, Name: "bandwidth_limit_bytes",
		Help: "Bytes per second that all jobs of this node together may read from their sources, now, with several nodes its share; 0: no limit.",
	}, func() float64 { return float64(t.Rate()) }))
	for _, l := range limit.Levels() {
		m.registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: namespace, Name: "bandwidth_wait_seconds_total", ConstLabels: prometheus.Labels{"level": l.String()},
			Help: "How long jobs waited for a bandwidth limit, by the level of the limit, all jobs added up.",
		}, func() float64 { return t.Waited(l).Seconds() }))
	}
}

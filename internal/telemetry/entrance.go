package telemetry

import "github.com/prometheus/client_golang/prometheus"

// ConnectionSource tells how many connections are open, and how many were refused
// since the start by reason.
type ConnectionSource func() (open int, refused map[string]int64)

// WatchConnections has the source asked at each scrape.
func (m *Metrics) WatchConnections(source ConnectionSource) {
	m.registry.MustRegister(connections{source})
}

type connections struct{ source ConnectionSource }

var (
	connectionsOpen    = prometheus.NewDesc("hypervisord_connections", "Open connections of the API.", nil, nil)
	connectionsRefused = prometheus.NewDesc("hypervisord_connections_refused_total", "Connections that were reset unread, by the limit that was reached: client (one address has too many), total.", []string{"reason"}, nil)
)

// Describe implements prometheus.Collector.
func (connections) Describe(ch chan<- *prometheus.Desc) {
	ch <- connectionsOpen
	ch <- connectionsRefused
}

// Collect implements prometheus.Collector.
func (c connections) Collect(ch chan<- prometheus.Metric) {
	open, refused := c.source()
	ch <- prometheus.MustNewConstMetric(connectionsOpen, prometheus.GaugeValue, float64(open))
	for reason, n := range refused {
		ch <- prometheus.MustNewConstMetric(connectionsRefused, prometheus.CounterValue, float64(n), reason)
	}
}

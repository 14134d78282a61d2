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

// LimitSource tells of each rate limit what it let through and refused since the
// start, and how many callers it remembers.
type LimitSource func(tell func(limit string, allowed, refused int64, buckets int))

// WatchLimits has the source asked at each scrape.
func (m *Metrics) WatchLimits(source LimitSource) { m.registry.MustRegister(limits{source}) }

type limits struct{ source LimitSource }

var (
	limitRequests = prometheus.NewDesc("hypervisord_limiter_requests_total", "Calls that met a rate limit: of a principal, of an address without a credential (anonymous), of an address whose credentials were refused (credentials).", []string{"limit", "outcome"}, nil)
	limitBuckets  = prometheus.NewDesc("hypervisord_limiter_buckets", "Callers that a rate limit remembers; 65536 at most.", []string{"limit"}, nil)
)

// Describe implements prometheus.Collector.
func (limits) Describe(ch chan<- *prometheus.Desc) {
	ch <- limitRequests
	ch <- limitBuckets
}

// Collect implements prometheus.Collector.
func (l limits) Collect(ch chan<- prometheus.Metric) {
	l.source(func(limit string, allowed, refused int64, buckets int) {
		ch <- prometheus.MustNewConstMetric(limitRequests, prometheus.CounterValue, float64(allowed), limit, "allowed")
		ch <- prometheus.MustNewConstMetric(limitRequests, prometheus.CounterValue, float64(refused), limit, "refused")
		ch <- prometheus.MustNewConstMetric(limitBuckets, prometheus.GaugeValue, float64(buckets), limit)
	})
}

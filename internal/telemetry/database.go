package telemetry

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// database adds the metrics of the store.
func (m *Metrics) database() {
	m.commits = m.counters("store_commits_total", "Transactions of the store, by what came of them; many updates can share one.", "result")
	for _, r := range []string{"ok", "error"} {
		m.commits.WithLabelValues(r)
	}
	m.updates = m.counter("store_updates_total", "Updates that the transactions of the store held.")
	m.commitTime = prometheus.NewHistogram(histogram("store_commit_seconds",
		"How long a transaction took, with what it held and the wait for the disk.", prometheus.ExponentialBuckets(0.0005, 2, 16))) // 0.5 ms to 16 s
	m.registry.MustRegister(m.commitTime)
}

// Committed is a hook for store.Options.
func (m *Metrics) Committed(updates int, took time.Duration, err error) {
	m.updates.Add(float64(updates))
	m.commitTime.Observe(took.Seconds())
	if err != nil {
		m.commits.WithLabelValues("error").Inc()
		return
	}
	m.commits.WithLabelValues("ok").Inc()
}

package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// pressure collects it: one question for each scrape.
type pressure struct {
	measure func(ctx context.Context) (dispatch.Pressure, error)
	log     *slog.Logger
}

var (
	queueAge = prometheus.NewDesc("hypervisord_queue_oldest_seconds",
		"How long the job that is next of its priority could have run; 0: none waits.", []string{"priority"}, nil)
	leasesNow = prometheus.NewDesc("hypervisord_leases",
		"Jobs that some node has: held, or expired (its node gave no sign of life for too long).", []string{"state"}, nil)
	storeRead = prometheus.NewDesc("hypervisord_store_read_seconds", "How long the database took to answer the question of this scrape.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*pressure) Describe(ch chan<- *prometheus.Desc) {
	ch <- queueAge
	ch <- leasesNow
	ch <- storeRead
}

// Collect implements prometheus.Collector. As with the backlog, no answer is no
// zero.
func (p *pressure) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // the interface brings none
	defer cancel()
	begin := time.Now()
	now, err := p.measure(ctx)
	if err != nil {
		p.log.LogAttrs(ctx, slog.LevelWarn, "queue not measured for the metrics", slog.String("error", fault.Detail(err)))
		return
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(storeRead, time.Since(begin).Seconds())
	for priority, age := range now.Oldest {
		gauge(queueAge, age.Seconds(), string(priority))
	}
	gauge(leasesNow, float64(now.Leases-now.Expired), "held")
	gauge(leasesNow, float64(now.Expired), "expired")
}

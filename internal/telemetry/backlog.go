package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// scrapeTime bounds the question to the store.
const scrapeTime = 2 * time.Second

// backlog collects what the store counts: one question for each scrape.
type backlog struct {
	jobs func(ctx context.Context) (map[job.State]int64, error)
	log  *slog.Logger
}

var (
	jobsNow     = prometheus.NewDesc("hypervisord_jobs", "Jobs by state, now.", []string{"status"}, nil)
	queueLength = prometheus.NewDesc("hypervisord_queue_length", "Jobs that wait to run.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- jobsNow
	ch <- queueLength
}

// Collect implements prometheus.Collector. If the store does not answer, the
// series are missing, which an alert can see; a zero would look like peace.
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // the interface brings none
	defer cancel()
	counts, err := b.jobs(ctx)
	if err != nil {
		b.log.LogAttrs(ctx, slog.LevelWarn, "jobs not counted for the metrics", slog.String("error", fault.Detail(err)))
		return
	}
	for _, state := range job.States() {
		ch <- prometheus.MustNewConstMetric(jobsNow, prometheus.GaugeValue, float64(counts[state]), string(state))
	}
	ch <- prometheus.MustNewConstMetric(queueLength, prometheus.GaugeValue, float64(counts[job.Pending]))
}

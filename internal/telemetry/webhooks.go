package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// What became of an attempt: it will be tried again, too.
const retried = "retried"

// webhooks are the metrics of deliveries.
type webhooks struct {
	attempts    *prometheus.CounterVec
	took        *prometheus.HistogramVec
	transitions *prometheus.CounterVec
	disabled    prometheus.Counter
}

func (m *Metrics) webhookMetrics() webhooks {
	w := webhooks{
		attempts: m.counters("webhook_attempts_total", "Attempts of deliveries, by what became of them: delivered, retried, dead.", "outcome"),
		took: m.histograms("webhook_attempt_duration_seconds", "Time of an attempt, by what became of it.",
			prometheus.ExponentialBuckets(0.01, 3, 8), "outcome"), // 10 ms to 22 s
		transitions: m.counters("webhook_breaker_transitions_total", "Changes of the circuit breakers of endpoints, by the new state.", "state"),
		disabled:    m.counter("webhook_disabled_total", "Webhooks that were disabled because their endpoint only failed, or wants no more."),
	}
	for _, o := range []string{string(webhook.Delivered), retried, string(webhook.Dead)} {
		w.attempts.WithLabelValues(o)
	}
	for _, s := range webhook.BreakerStates() {
		w.transitions.WithLabelValues(string(s))
	}
	return w
}

// Outbox returns the hooks for outbox.Options.
func (m *Metrics) Outbox() outbox.Hooks {
	return outbox.Hooks{
		Attempted: func(r outbox.Result) {
			outcome := string(r.Verdict.State)
			if r.Verdict.State == webhook.Pending {
				outcome = retried
			}
			m.webhooks.attempts.WithLabelValues(outcome).Inc()
			m.webhooks.took.WithLabelValues(outcome).Observe(r.Took.Seconds())
		},
		Breaker:  func(to webhook.BreakerState) { m.webhooks.transitions.WithLabelValues(string(to)).Inc() },
		Disabled: m.webhooks.disabled.Inc,
	}
}

// WebhookSource tells of all webhooks: how many have their circuit breaker in which
// state, how many deliveries wait, and since when the oldest does (zero: none).
type WebhookSource func(ctx context.Context) (breakers map[webhook.BreakerState]int64, waiting int64, oldest time.Time, err error)

// WatchWebhooks has the source asked at each scrape.
func (m *Metrics) WatchWebhooks(source WebhookSource) {
	m.registry.MustRegister(&webhookQueue{source: source, log: m.log})
}

// webhookQueue collects what waits: one question for each scrape.
type webhookQueue struct {
	source WebhookSource
	log    *slog.Logger
}

var (
	breakersNow = prometheus.NewDesc("hypervisord_webhook_breakers", "Enabled webhooks by the state of their circuit breaker.", []string{"state"}, nil)
	hookQueue   = prometheus.NewDesc("hypervisord_webhook_queue_length", "Deliveries of enabled webhooks that wait.", nil, nil)
	hookAge     = prometheus.NewDesc("hypervisord_webhook_queue_age_seconds", "How long the oldest of them has waited.", nil, nil)
)

// Describe implements prometheus.Collector.
func (*webhookQueue) Describe(ch chan<- *prometheus.Desc) {
	ch <- breakersNow
	ch <- hookQueue
	ch <- hookAge
}

// Collect implements prometheus.Collector. As with the backlog, no answer is no
// zero.
func (q *webhookQueue) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTime) // the interface brings none
	defer cancel()
	breakers, waiting, oldest, err := q.source(ctx)
	if err != nil {
		q.log.LogAttrs(ctx, slog.LevelWarn, "webhooks not counted for the metrics", slog.String("error", fault.Detail(err)))
		return
	}
	for _, s := range webhook.BreakerStates() {
		ch <- prometheus.MustNewConstMetric(breakersNow, prometheus.GaugeValue, float64(breakers[s]), string(s))
	}
	age := 0.0
	if !oldest.IsZero() {
		age = max(0, time.Since(oldest).Seconds())
	}
	ch <- prometheus.MustNewConstMetric(hookQueue, prometheus.GaugeValue, float64(waiting))
	ch <- prometheus.MustNewConstMetric(hookAge, prometheus.GaugeValue, age)
}

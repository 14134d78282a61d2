package telemetry

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/metrics"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/trace"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Sources are asked at each scrape.
type Sources struct {
	// Jobs counts the jobs of all tenants by state.
	Jobs func(ctx context.Context) (map[job.State]int64, error)
	// Workers returns how many jobs can run at once here, and how many do.
	Workers func() (size, busy int)
	// Nodes lists the daemons that share the queue; nil: there is no list.
	Nodes func(ctx context.Context) ([]node.Node, error)
	// Pressure measures the queue; nil: nobody does.
	Pressure func(ctx context.Context) (dispatch.Pressure, error)
	// Free tells the free bytes below the directories of a purpose (state,
	// output), the fullest of each; nil: nobody looks.
	Free    func() map[string]int64
	Version string
	Log     *slog.Logger
}

// Metrics are the daemon's metrics (design §5). Every label takes few values,
// none of which a caller chooses. Its methods may be called concurrently.
type Metrics struct {
	registry *prometheus.Registry
	log      *slog.Logger

	requests  *prometheus.CounterVec
	durations *prometheus.HistogramVec
	errors    *prometheus.CounterVec

	submitted prometheus.Counter
	refused   *prometheus.CounterVec
	finished  *prometheus.CounterVec
	jobTime   *prometheus.HistogramVec
	retries   prometheus.Counter
	steps     *prometheus.CounterVec
	stepTime  *prometheus.HistogramVec
	bytes     *prometheus.CounterVec
	phases    *prometheus.CounterVec
	runs      *prometheus.CounterVec

	commits    *prometheus.CounterVec
	updates    prometheus.Counter
	commitTime prometheus.Histogram

	scheduleRuns *prometheus.CounterVec
	scaled       *prometheus.CounterVec
	reloads      *prometheus.CounterVec
	issuerKeys   *prometheus.CounterVec
	retained     retained
	webhooks     webhooks
	audits       audits

	sourceRetries *prometheus.CounterVec
	relogins      prometheus.Counter
	hostWaits     prometheus.Gauge
	hostYields    prometheus.Counter
}

const namespace = "hypervisord"

// growth is the resolution of native histograms; classic buckets are kept beside
// them because a Prometheus server takes native ones only when told to.
const growth = 1.1

// NewMetrics makes the metrics in a registry of their own.
func NewMetrics(s Sources) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), log: s.Log}
	m.requests = m.counters("http_requests_total", "Requests by route pattern.", "method", "path", "status")
	m.errors = m.counters("http_errors_total", "Requests that failed by our fault (status 5xx).", "method", "path")
	m.durations = m.histograms("http_request_duration_seconds", "Time to answer a request.", prometheus.DefBuckets, "method", "path")

	m.submitted = m.counter("jobs_submitted_total", "Jobs accepted.")
	m.refused = m.counters("quota_refusals_total", "Jobs that a tenant's quota kept out.", "quota")
	for _, q := range tenant.Quotas() {
		m.refused.WithLabelValues(q)
	}
	m.finished = m.counters("jobs_total", "Jobs that ended, by how.", "status")
	for _, state := range job.States() {
		if state.Final() {
			m.finished.WithLabelValues(string(state)) // rate() wants to see the zero
		}
	}
	m.jobTime = m.histograms("jobs_duration_seconds", "From the first start of a job to its end.",
		prometheus.ExponentialBuckets(1, 3, 12), "provider", "format") // 1 s to 49 h
	m.steps = m.counters("steps_total", "Steps of workflows that ended, by how.", "type", "status")
	m.stepTime = m.histograms("step_duration_seconds", "From the first start of a step to its end.",
		prometheus.ExponentialBuckets(1, 3, 12), "type")
	m.retries = m.counter("job_retries_total", "Attempts that failed and were put back.")
	m.bytes = m.counters("bytes_total", "Bytes of disks: source came over the wire, written went to the output, zero was skipped.", "direction")
	for _, d := range []string{source, written, zero} {
		m.bytes.WithLabelValues(d)
	}

	m.phases = m.counters("phase_bytes_total", "Bytes of disks that a phase went through, holes included: copying reads the source, verifying what was stored.", "phase")
	for _, p := range []string{copying, verifying} {
		m.phases.WithLabelValues(p)
	}
	m.runs = m.counters("runs_total", "Runs of jobs that ended, by how: complete, fail, retry, interrupt (a shutdown), yield (no free slot on its host), settle (a cancel), lost (the lease).", "outcome")
	for _, o := range outcomes {
		m.runs.WithLabelValues(o)
	}
	m.database()

	m.scheduleRuns = m.counters("schedule_runs_total", "Runs of schedules, by what became of them.", "outcome")
	for _, o := range schedule.Outcomes() {
		m.scheduleRuns.WithLabelValues(o)
	}

	m.issuerKeys = m.counters("oidc_key_fetches_total", "Times that the keys of the OpenID Connect issuer were fetched.", "outcome")
	m.reloads = m.counters("config_reloads_total", "Times that the configuration was read again.", "outcome")
	m.scaled = m.counters("autoscale_decisions_total", "Changes of the number of workers.", "direction", "reason")

	m.retained = m.retention()
	m.webhooks = m.webhookMetrics()
	m.audits = m.auditMetrics()

	m.sourceRetries = m.counters("source_retries_total", "Requests to a provider that were repeated.", "operation")
	for _, op := range []string{"range", "nfc", "soap"} { // those of vsphere.Observer
		m.sourceRetries.WithLabelValues(op)
	}
	m.relogins = m.counter("source_relogins_total", "Sessions of a provider that had expired and were renewed.")
	m.hostWaits = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "source_host_waits", Help: "Streams that wait for a slot on an ESXi host.",
	})
	m.hostYields = m.counter("host_limit_waits_total", "Started jobs that were put back because their host had no free slot.")
	m.registry.MustRegister(m.hostWaits, &backlog{jobs: s.Jobs, log: s.Log},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if s.Pressure != nil {
		m.registry.MustRegister(&pressure{measure: s.Pressure, log: s.Log})
	}
	if s.Free != nil {
		m.registry.MustRegister(&space{free: s.Free, busy: make(chan struct{}, 1)})
	}
	if s.Nodes != nil {
		m.registry.MustRegister(&nodes{list: s.Nodes, log: s.Log})
	}
	m.process(s)
	return m
}

// process adds what is read at each scrape.
func (m *Metrics) process(s Sources) {
	begin := time.Now()
	gauge := func(name, help string, f func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: namespace, Name: name, Help: help}, f))
	}
	gauge("memory_bytes", "Memory that the Go runtime holds.", func() float64 { return float64(heldMemory()) })
	gauge("goroutines", "Goroutines.", func() float64 { return float64(runtime.NumGoroutine()) })
	gauge("uptime_seconds", "Since the start of the daemon.", func() float64 { return time.Since(begin).Seconds() })
	gauge("workers_size", "Jobs that can run at once on this node.", func() float64 { size, _ := s.Workers(); return float64(size) })
	gauge("workers_busy", "Jobs that run on this node.", func() float64 { _, busy := s.Workers(); return float64(busy) })
	m.registry.MustRegister(&workers{count: s.Workers})
	info := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "1; the build is in the labels.",
		ConstLabels: prometheus.Labels{"version": s.Version, "go_version": runtime.Version()},
	})
	info.Set(1)
	m.registry.MustRegister(info)
}

// heldMemory returns the bytes that the runtime took from the system and did not
// give back.
func heldMemory() uint64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64() - samples[1].Value.Uint64()
}

// Handler answers GET /metrics. A source that fails leaves its series out.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelWarn), ErrorHandling: promhttp.ContinueOnError,
		EnableOpenMetrics: true, MaxRequestsInFlight: 4,
	})
}

// Request counts one HTTP request; it is a rest.Observer. method and route must
// be bounded: a route pattern, not a path.
func (m *Metrics) Request(ctx context.Context, method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Inc()
	observe(m.durations.WithLabelValues(method, route), took, trace.SpanContextFromContext(ctx))
	if status >= http.StatusInternalServerError {
		m.errors.WithLabelValues(method, route).Inc()
	}
}

// observe notes a duration, and the trace that is an example of it if somebody
// keeps that.
func observe(h prometheus.Observer, took time.Duration, sc trace.SpanContext) {
	if e, ok := h.(prometheus.ExemplarObserver); ok && sc.IsSampled() && sc.IsValid() {
		e.ObserveWithExemplar(took.Seconds(), prometheus.Labels{"trace_id": sc.TraceID().String()})
		return
	}
	h.Observe(took.Seconds())
}

func (m *Metrics) counter(name, help string) prometheus.Counter {
	c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help})
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) counters(name, help string, labels ...string) *prometheus.CounterVec {
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	m.registry.MustRegister(c)
	return c
}

func (m *Metrics) histograms(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(histogram(name, help, buckets), labels)
	m.registry.MustRegister(h)
	return h
}

// histogram is a native one that has classic buckets, too.
func histogram(name, help string, buckets []float64) prometheus.HistogramOpts {
	return prometheus.HistogramOpts{
		Namespace: namespace, Name: name, Help: help, Buckets: buckets,
		NativeHistogramBucketFactor: growth, NativeHistogramMaxBucketNumber: 160, NativeHistogramMinResetDuration: time.Hour,
	}
}

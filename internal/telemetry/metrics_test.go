package telemetry_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/telemetry"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sources() telemetry.Sources {
	return telemetry.Sources{
		Jobs: func(context.Context) (map[job.State]int64, error) {
			return map[job.State]int64{job.Pending: 7, job.Running: 2}, nil
		},
		Workers: func() (int, int) { return 4, 2 },
		Nodes:   func(context.Context) ([]node.Node, error) { return []node.Node{{State: node.Alive}}, nil },
		Pressure: func(context.Context) (dispatch.Pressure, error) {
			return dispatch.Pressure{Oldest: map[job.Priority]time.Duration{job.Low: time.Minute}, Leases: 3, Expired: 1}, nil
		},
		Free:    func() map[string]int64 { return map[string]int64{"state": 1 << 30} },
		Version: "v1.2.3",
		Log:     slog.New(slog.DiscardHandler),
	}
}

func scrape(t *testing.T, m *telemetry.Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	body, err := io.ReadAll(w.Body)
	if err != nil || w.Code != http.StatusOK {
		t.Fatal(w.Code, err)
	}
	return string(body)
}

// The roadmap's names and labels are a promise to dashboards (design §5).
func TestTheRoadmapsNamesAndLabels(t *testing.T) {
	m := telemetry.NewMetrics(sources())
	exercise(m)
	have := families(scrape(t, m))
	for _, want := range []string{
		"hypervisord_goroutines{}",
		"hypervisord_host_limit_waits_total{}",
		"hypervisord_http_errors_total{method,path}",
		"hypervisord_http_request_duration_seconds{method,path}",
		"hypervisord_http_requests_total{method,path,status}",
		"hypervisord_jobs_duration_seconds{format,provider}",
		"hypervisord_jobs_total{status}",
		"hypervisord_jobs{status}",
		"hypervisord_memory_bytes{}",
		"hypervisord_queue_length{}",
		"hypervisord_uptime_seconds{}",
	} {
		if !slices.Contains(have, want) {
			t.Errorf("%s is missing in\n%s", want, strings.Join(have, "\n"))
		}
	}
}

var series = regexp.MustCompile(`(?m)^(hypervisord_\w+?)(?:_bucket|_sum|_count)?(?:\{(.*)\})? [^ ]+$`)

func families(text string) []string {
	var out []string
	for _, hit := range series.FindAllStringSubmatch(text, -1) {
		var labels []string
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(hit[2], -1) {
			if l[1] != "le" {
				labels = append(labels, l[1])
			}
		}
		slices.Sort(labels)
		out = append(out, hit[1]+"{"+strings.Join(labels, ",")+"}")
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func exercise(m *telemetry.Metrics) {
	m.Request(context.Background(), "GET", "/jobs/{id}", 200, time.Second)
	m.Request(context.Background(), "GET", "/jobs/{id}", 404, time.Second)
	m.Request(context.Background(), "POST", "/jobs/submit", 503, time.Second)
	m.Service().Submitted(job.Job{})
	m.Service().Cancelled(job.Job{State: job.Cancelled})
	d := m.Dispatch()
	d.Retried(job.Job{})
	d.Finished(job.Job{State: job.Completed, Spec: job.Spec{Provider: "vsphere", Format: "ova"}}, time.Minute)
	m.WatchWebhooks(func(context.Context) (map[webhook.BreakerState]int64, int64, time.Time, error) {
		return map[webhook.BreakerState]int64{webhook.Open: 3}, 12, time.Now().Add(-time.Hour), nil
	})
	m.Outbox().Attempted(outbox.Result{Verdict: webhook.Verdict{State: webhook.Pending}})
	m.Outbox().Breaker(webhook.Open)
	v := m.VSphere()
	v.Transferred("vm", "2000", "nfc", 1000)
	v.Relogin()
	v.Retry("range")
	v.HostWait("esx1", true)
	_, leave := d.Enter(context.Background(), dispatch.Lease{}, false)
	leave("complete")
	m.Committed(3, time.Millisecond, nil)
	m.Committed(1, time.Millisecond, errors.New("disk full"))
	m.Step("export", job.StepCompleted, time.Second)
	m.Scaled(1, 2, "backlog")
}

func TestValues(t *testing.T) {
	m := telemetry.NewMetrics(sources())
	exercise(m)
	m.VSphere().HostWait("esx2", true)
	m.VSphere().HostWait("esx1", false)
	text := scrape(t, m)
	for _, line := range []string{
		`hypervisord_webhook_attempts_total{outcome="retried"} 1`,
		`hypervisord_webhook_attempts_total{outcome="dead"} 0`,
		`hypervisord_webhook_breakers{state="open"} 3`,
		`hypervisord_webhook_breakers{state="closed"} 0`,
		`hypervisord_webhook_breaker_transitions_total{state="open"} 1`,
		`hypervisord_webhook_queue_length 12`,
		`hypervisord_http_requests_total{method="GET",path="/jobs/{id}",status="404"} 1`,
		`hypervisord_http_errors_total{method="POST",path="/jobs/submit"} 1`,
		`hypervisord_http_request_duration_seconds_count{method="GET",path="/jobs/{id}"} 2`,
		`hypervisord_jobs_total{status="completed"} 1`,
		`hypervisord_jobs_total{status="cancelled"} 1`,
		`hypervisord_jobs_total{status="failed"} 0`,
		`hypervisord_jobs{status="pending"} 7`,
		`hypervisord_jobs{status="cancelling"} 0`,
		`hypervisord_queue_length 7`,
		`hypervisord_jobs_duration_seconds_sum{format="ova",provider="vsphere"} 60`,
		`hypervisord_bytes_total{direction="source"} 1000`,
		`hypervisord_bytes_total{direction="zero"} 0`,
		`hypervisord_workers_size 4`,
		`hypervisord_workers_busy 2`,
		`hypervisord_workers{state="idle"} 2`,
		`hypervisord_workers{state="draining"} 0`,
		`hypervisord_workers_desired 4`,
		`hypervisord_source_host_waits 1`,
		`hypervisord_runs_total{outcome="complete"} 1`,
		`hypervisord_runs_total{outcome="lost"} 0`,
		`hypervisord_store_updates_total 4`,
		`hypervisord_store_commits_total{result="error"} 1`,
		`hypervisord_store_commit_seconds_count 2`,
		`hypervisord_queue_oldest_seconds{priority="low"} 60`,
		`hypervisord_leases{state="held"} 2`,
		`hypervisord_leases{state="expired"} 1`,
		`hypervisord_disk_free_bytes{purpose="state"} 1.073741824e+09`,
		`hypervisord_source_retries_total{operation="range"} 1`,
	} {
		if !strings.Contains(text, line+"\n") {
			t.Errorf("missing: %s", line)
		}
	}
	if strings.Contains(text, `hypervisord_http_errors_total{method="GET"`) {
		t.Error("a 404 counts as an error of ours")
	}
}

func TestStoreThatDoesNotAnswerLeavesItsSeriesOut(t *testing.T) {
	s := sources()
	s.Jobs = func(context.Context) (map[job.State]int64, error) { return nil, errors.New("locked") }
	text := scrape(t, telemetry.NewMetrics(s))
	if strings.Contains(text, "hypervisord_queue_length ") || !strings.Contains(text, "hypervisord_uptime_seconds ") {
		t.Fatal(text)
	}
}

type reports []job.Progress

func (r reports) Run(_ context.Context, t dispatch.Task) (job.Outcome, error) {
	for _, p := range r {
		t.Progress(p)
	}
	return job.Outcome{}, nil
}

func (r reports) Cleanup(context.Context, dispatch.Task) error { return nil }

func TestRunnerCountsBytes(t *testing.T) {
	m := telemetry.NewMetrics(sources())
	var passed int
	task := dispatch.Task{Progress: func(job.Progress) { passed++ }}
	for range 2 { // each run counts from 0
		_, err := m.Runner(reports{
			{Phase: "preparing"},
			{Phase: "copying", BytesWritten: 100, BytesZero: 7},
			{Phase: "copying", BytesWritten: 100, BytesZero: 7},
			{Phase: "copying", BytesRead: 400, BytesWritten: 250, BytesZero: 8},
			{Phase: "verifying", BytesRead: 11, BytesWritten: 0, BytesZero: 9000},
		}).Run(t.Context(), task)
		if err != nil {
			t.Fatal(err)
		}
	}
	text := scrape(t, m)
	if !strings.Contains(text, `hypervisord_bytes_total{direction="written"} 500`) || !strings.Contains(text, `hypervisord_bytes_total{direction="zero"} 16`) {
		t.Fatal(text)
	}
	if !strings.Contains(text, `hypervisord_phase_bytes_total{phase="copying"} 800`) || !strings.Contains(text, `hypervisord_phase_bytes_total{phase="verifying"} 22`) {
		t.Fatal(text)
	}
	if passed != 10 {
		t.Fatalf("%d reports were passed on", passed)
	}
}

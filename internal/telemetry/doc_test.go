package telemetry

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// metricsDoc is written by `go test ./internal/telemetry -run TestDocumented -update`.
const metricsDoc = "../../docs/metrics.md"

// everything is a daemon's registry, with each source that there can be.
func everything() *Metrics {
	m := NewMetrics(Sources{
		Jobs:     func(context.Context) (map[job.State]int64, error) { return map[job.State]int64{}, nil },
		Workers:  func() (int, int) { return 1, 1 },
		Nodes:    func(context.Context) ([]node.Node, error) { return nil, nil },
		Pressure: func(context.Context) (dispatch.Pressure, error) { return dispatch.Pressure{}, nil },
		Free:     func() map[string]int64 { return nil },
		Version:  "v1", Log: slog.New(slog.DiscardHandler),
	})
	m.Bandwidth(limit.NewTree(limit.Plan{}))
	m.WatchConnections(func() (int, map[string]int64) { return 0, nil })
	m.WatchLimits(func(func(string, int64, int64, int)) {})
	m.WatchWebhooks(func(context.Context) (map[webhook.BreakerState]int64, int64, time.Time, error) {
		return nil, 0, time.Time{}, nil
	})
	m.AuditSinks("archive")
	m.WatchLogs(&Logs{})
	m.WatchAudit(func(context.Context) (audit.State, []audit.Sink, error) { return audit.State{}, nil, nil })
	return m
}

// described is what a metric says of itself: prometheus.Desc shows it only as text.
var described = regexp.MustCompile(`^Desc\{fqName: "(\w+)", help: "((?:[^"\\]|\\.)*)", unit: "[^"]*", constLabels: \{(.*?)\}, variableLabels: \{(.*?)\}\}$`)

type metric struct{ name, help, labels string }

// registered lists our metrics, those without a series, too.
func registered(t *testing.T, m *Metrics) (all []metric) {
	t.Helper()
	ch := make(chan *prometheus.Desc, 1000)
	m.registry.Describe(ch)
	close(ch)
	constant := regexp.MustCompile(`(\w+)="`)
	for d := range ch {
		hit := described.FindStringSubmatch(d.String())
		if hit == nil {
			t.Fatalf("cannot read %s", d)
		}
		if !strings.HasPrefix(hit[1], namespace+"_") {
			continue // of the Go runtime and the process
		}
		labels := strings.FieldsFunc(hit[4], func(r rune) bool { return r == ',' })
		for _, c := range constant.FindAllStringSubmatch(hit[3], -1) {
			labels = append(labels, c[1])
		}
		slices.Sort(labels)
		all = append(all, metric{hit[1], strings.ReplaceAll(hit[2], `\"`, `"`), strings.Join(labels, ", ")})
	}
	slices.SortFunc(all, func(a, b metric) int { return cmp.Compare(a.name, b.name) })
	return slices.Compact(all)
}

// kind is how a metric is read, by the rules of its name that TestLint holds.
func kind(name string) string {
	switch {
	case strings.HasSuffix(name, "_total"):
		return "counter"
	case slices.Contains(histograms, name):
		return "histogram"
	}
	return "gauge"
}

var histograms = []string{
	"hypervisord_http_request_duration_seconds", "hypervisord_jobs_duration_seconds",
	"hypervisord_step_duration_seconds", "hypervisord_store_commit_seconds", "hypervisord_webhook_attempt_duration_seconds",
}

// TestDocumented: docs/metrics.md tells of every metric that is registered, and of
// no other.
func TestDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Metrics\n\nMade from what the daemon registers: `go test ./internal/telemetry -run TestDocumented -update`. " +
		"How to use them: [observability.md](observability.md).\n\n| metric | kind | labels | |\n|---|---|---|---|\n")
	for _, m := range registered(t, everything()) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.name, kind(m.name), m.labels, m.help)
	}
	b.WriteString("\nBeside these the Go runtime's (`go_*`) and the process's (`process_*`) are there.\n")
	if *update {
		if err := os.WriteFile(metricsDoc, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(metricsDoc)
	if err != nil || string(have) != b.String() {
		t.Errorf("%s is not what is registered: run the test with -update (%v)", metricsDoc, err)
	}
}

// TestLint: names, units and help follow Prometheus's rules, and every label is one
// of those whose values are bounded.
func TestLint(t *testing.T) {
	m := everything()
	m.Request(t.Context(), "GET", "/jobs", 500, time.Second)
	m.Step("export", job.StepCompleted, time.Second)
	m.Scaled(1, 2, "backlog")
	m.Dispatch().Finished(job.Job{State: job.Completed}, time.Second)
	m.VSphere().Retry("range")
	problems, err := testutil.GatherAndLint(m.registry)
	if err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
	found, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if name := f.GetName(); strings.HasPrefix(name, namespace) && strings.ToLower(f.GetType().String()) != kind(name) {
			t.Errorf("%s is a %s, documented as a %s", name, f.GetType(), kind(name))
		}
		if h := f.GetMetric()[0].GetHistogram(); h != nil && strings.HasPrefix(f.GetName(), namespace) && (h.Schema == nil || len(h.GetBucket()) == 0) {
			t.Errorf("%s is not both a native and a classic histogram", f.GetName())
		}
	}
	// Who adds a label here says what bounds it.
	bounded := map[string]string{
		"method": "a list in rest, and other", "path": "the routes, and other", "status": "HTTP codes; states of jobs and steps",
		"provider": "configured ones", "format": "a list in step, and workflow", "type": "types of steps", "quota": "tenant.Quotas",
		"direction": "in code", "phase": "in code", "outcome": "in code", "result": "in code", "purpose": "in code", "what": "in code",
		"level": "limit.Levels", "limit": "three", "priority": "four", "state": "in code", "reason": "package admission; in gate", "operation": "in code",
		"sink": "package daemon", "version": "one", "go_version": "one",
	}
	for _, m := range registered(t, m) {
		for l := range strings.SplitSeq(m.labels, ", ") {
			if l != "" && bounded[l] == "" {
				t.Errorf("%s has a label %q that nobody bounds", m.name, l)
			}
		}
		if !strings.HasSuffix(m.help, ".") || len(m.help) < 10 {
			t.Errorf("%s has no help: %q", m.name, m.help)
		}
	}
}

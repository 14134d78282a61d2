package daemon

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/client"
)

// prometheus is a server that scrapes the daemon.
type prometheus struct {
	*observed
	url string
}

// scraped starts Prometheus with the rules of deploy/.
func (o *observed) scraped() *prometheus {
	o.Helper()
	program, err := exec.LookPath("prometheus")
	if err != nil {
		o.Fatal("prometheus is missing: run scripts/deps.sh prometheus")
	}
	rules, err := filepath.Abs("../../deploy/prometheus/hypervisord.rules.yml")
	if err != nil {
		o.Fatal(err)
	}
	dir, address := o.TempDir(), unused(o.T)
	config := put(o.T, dir, "prometheus.yml", fmt.Sprintf(`
global: {scrape_interval: 250ms, scrape_timeout: 250ms, evaluation_interval: 500ms}
rule_files: [%q]
scrape_configs: [{job_name: hypervisord, static_configs: [{targets: [%q]}]}]
`, rules, o.daemon.Addr()))
	spawn(o.T, nil, address, program, "--config.file="+config, "--storage.tsdb.path="+dir+"/data", "--web.listen-address="+address,
		"--enable-feature=exemplar-storage", "--log.level=warn")
	return &prometheus{o, "http://" + address + "/api/v1/"}
}

// get asks the API of Prometheus.
func (p *prometheus) get(path string, query url.Values, out any) error {
	p.Helper()
	_, text := p.ask("GET", p.url+path+"?"+query.Encode(), "")
	var answer struct {
		Status string          `json:"status"`
		Error  string          `json:"error"`
		Data   json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		return err
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s", answer.Error)
	}
	return json.Unmarshal(answer.Data, out)
}

// query returns the values of an instant query.
func (p *prometheus) query(expr string) (values []float64, err error) {
	p.Helper()
	var data struct {
		Result []struct {
			Value [2]any `json:"value"`
		} `json:"result"`
	}
	if err := p.get("query", url.Values{"query": {expr}}, &data); err != nil {
		return nil, err
	}
	for _, r := range data.Result {
		v, err := strconv.ParseFloat(fmt.Sprint(r.Value[1]), 64)
		if err != nil {
			return nil, err
		}
		if !math.IsNaN(v) {
			values = append(values, v)
		}
	}
	return values, nil
}

// one is the value of a query that has one; -1 if it has none yet.
func (p *prometheus) one(expr string) float64 {
	p.Helper()
	v, err := p.query(expr)
	if err != nil {
		p.Fatal(expr, err)
	}
	if len(v) != 1 {
		return -1
	}
	return v[0]
}

// panels lists the queries of the dashboard as Grafana would send them.
func panels(t *testing.T) map[string][]string {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/hypervisord.json")
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatal(err)
	}
	all := map[string][]string{}
	fill := strings.NewReplacer("$__rate_interval", "1m", "$instance", ".+")
	for _, p := range board.Panels {
		for _, target := range p.Targets {
			all[p.Title] = append(all[p.Title], fill.Replace(target.Expr))
		}
	}
	if len(all) < 25 {
		t.Fatalf("the dashboard has %d panels", len(all))
	}
	return all
}

// TestPrometheus: a real server scrapes the daemon while it works. Every query of
// every panel of the dashboard has an answer, every rule can be evaluated, an
// exemplar leads to a trace, and strangers cannot make series.
func TestPrometheus(t *testing.T) {
	collector(t)
	t.Setenv("OTEL_LOGS_EXPORTER", "otlp")
	hook := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer hook.Close()
	o := newObserved(t, func(c *Config) {
		c.Audit.Sinks = []AuditSinkConfig{{Name: "archive", File: &FileSinkConfig{Path: filepath.Join(t.TempDir(), "audit.jsonl")}}}
	})
	p := o.scraped()
	if _, err := o.client.CreateWebhook(t.Context(), client.WebhookSpec{Name: "all", URL: hook.URL, Events: []string{"*"}}); err != nil {
		t.Fatal(err)
	}
	flow := func(n int) string {
		return fmt.Sprintf(`jobs:
  - {id: e, type: export, vm_path: /DC/vm/web-01, format: qcow2, output_path: flow-%d}
  - {id: v, type: verify, depends_on: e, input: $e.output}
`, n)
	}
	run := func(n int) {
		o.end(o.submit(flow(n)), client.Completed)
		o.end(o.submit(fmt.Sprintf("{vm_path: /DC/vm/web-01, format: raw, output_path: plain-%d}", n)), client.Completed)
	}
	run(1)
	o.eventually("Prometheus has seen the first jobs", func() bool {
		return p.one(`sum(hypervisord_jobs_duration_seconds_count)`) == 2 && p.one(`hypervisord_steps_total{type="verify"}`) == 1
	})
	run(2)
	o.eventually("Prometheus has seen the others", func() bool { return p.one(`hypervisord_jobs_total{status="completed"}`) == 4 })

	for title, queries := range panels(t) {
		for _, q := range queries {
			var err error
			o.eventually("the panel "+title+" has an answer to "+q, func() bool {
				var values []float64
				values, err = p.query(q)
				return len(values) > 0 || err != nil
			})
			if err != nil {
				t.Errorf("%s: %s: %v", title, q, err)
			}
		}
	}
	for q, want := range map[string]float64{
		`max(hypervisord_audit_log_entries) - max(hypervisord_audit_checkpoint_entries)`:                 0,
		`sum(hypervisord_audit_entries_total) - max(hypervisord_audit_log_entries)`:                      0,
		`sum(hypervisord_audit_sink_entries_total{sink="archive"}) - max(hypervisord_audit_log_entries)`: 0,
		`max(hypervisord_audit_sink_lag_entries{sink="archive"})`:                                        0,
		`sum(hypervisord_webhook_attempts_total{outcome="delivered"}) > bool 10`:                         1,
		`hypervisord_webhook_breakers{state="closed"}`:                                                   1,
		`sum(hypervisord_otlp_log_records_total{result="sent"}) > bool 10`:                               1,
		`hypervisord_otlp_log_records_total{result="dropped"}`:                                           0,
	} {
		o.eventually(q, func() bool { return p.one(q) == want })
	}
	if rate := p.one(panels(t)["Success rate"][0]); rate != 1 {
		t.Errorf("the success rate is %g", rate)
	}
	p.rulesEvaluate()
	p.exemplars()
	p.strangersMakeNoSeries()
}

func (p *prometheus) rulesEvaluate() {
	p.Helper()
	var data struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	p.eventually("all rules were evaluated", func() bool {
		if err := p.get("rules", nil, &data); err != nil {
			p.Fatal(err)
		}
		n := 0
		for _, g := range data.Groups {
			for _, r := range g.Rules {
				if r.Health == "err" {
					p.Fatalf("%s: %s", r.Name, r.LastError)
				}
				if r.Health == "ok" {
					n++
				}
			}
		}
		return n >= 20
	})
}

func (p *prometheus) exemplars() {
	p.Helper()
	for _, metric := range []string{"hypervisord_http_request_duration_seconds_bucket", "hypervisord_jobs_duration_seconds_bucket"} {
		var data []struct {
			Exemplars []struct{ Labels map[string]string }
		}
		query := url.Values{"query": {metric}, "start": {"0"}, "end": {"9999999999"}}
		if err := p.get("query_exemplars", query, &data); err != nil || len(data) == 0 || len(data[0].Exemplars[0].Labels["trace_id"]) != 32 {
			p.Errorf("%s: %+v %v", metric, data, err)
		}
	}
}

// strangersMakeNoSeries: paths, methods and headers that a caller makes up are in
// no label.
func (p *prometheus) strangersMakeNoSeries() {
	p.Helper()
	const count = `count({__name__=~"hypervisord_http_.*"})`
	for _, method := range []string{"GET", "BREW", "POST"} { // the series of strangers, once
		p.ask(method, "/warm/up", "")
	}
	p.ask("GET", "/jobs/warm", "")
	p.ask("BREW", "/jobs", "")
	p.eventually("the warm-up is scraped", func() bool { return p.one(`sum(hypervisord_http_requests_total{path="other"})`) == 4 })
	before := p.one(count)
	for i := range 100 {
		p.ask("GET", fmt.Sprintf("/made/up/%d?x=%d", i, i), "", "Traceparent", "00-zz-\"}-01", "X-Request-ID", `"}{`)
		p.ask("GET", fmt.Sprintf("/jobs/%d", i), "")
		p.ask(fmt.Sprintf("BREW%d", i), "/jobs", "")
	}
	p.eventually("the requests are scraped", func() bool {
		return p.one(`hypervisord_http_requests_total{method="GET",path="/jobs/{id}",status="404"}`) > 100
	})
	if after := p.one(count); after != before {
		p.Errorf("%g series became %g", before, after)
	}
}

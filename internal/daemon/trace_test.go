package daemon

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hypersdk/hypersdk/client"
)

// span is one of OTLP JSON.
type span struct {
	TraceID      string `json:"traceId"`
	SpanID       string `json:"spanId"`
	ParentSpanID string `json:"parentSpanId"`
	Name         string `json:"name"`
	Kind         int    `json:"kind"`
	Links        []struct {
		TraceID string `json:"traceId"`
		SpanID  string `json:"spanId"`
	} `json:"links"`
	Status struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"status"`
	Attributes []struct {
		Key   string         `json:"key"`
		Value map[string]any `json:"value"`
	} `json:"attributes"`
}

func (s span) at(key string) any {
	for _, a := range s.Attributes {
		if a.Key == key {
			for _, v := range a.Value {
				return v
			}
		}
	}
	return nil
}

// collector starts the OpenTelemetry Collector's OTLP receiver, points the daemon
// to it, and returns what it takes.
func collector(t *testing.T) *lines {
	t.Helper()
	program, err := exec.LookPath("otlp-receiver")
	if err != nil {
		t.Fatal("otlp-receiver is missing: make .cache/tools/otlp-receiver, and put that directory into PATH")
	}
	address, took := unused(t), &lines{}
	spawn(t, took, address, program, address)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+address)
	t.Setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
	t.Setenv("OTEL_LOGS_EXPORTER", "none")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
	return took
}

// spans decodes what the collector took.
func spans(t *testing.T, took *lines) (all []span) {
	t.Helper()
	for _, line := range took.with("{") {
		var batch struct {
			ResourceSpans []struct {
				ScopeSpans []struct {
					Spans []span `json:"spans"`
				} `json:"scopeSpans"`
			} `json:"resourceSpans"`
		}
		if err := json.Unmarshal([]byte(line), &batch); err != nil {
			t.Fatal(err)
		}
		for _, r := range batch.ResourceSpans {
			for _, s := range r.ScopeSpans {
				all = append(all, s.Spans...)
			}
		}
	}
	return all
}

const (
	callersTrace = "4bf92f3577b34da6a3ce929d0e0e4736"
	callersSpan  = "00f067aa0ba902b7"
)

// TestOneTrace follows a workflow from the caller's own span through the HTTP call
// and the queue to vCenter, the copy and the webhook, as a collector sees it.
func TestOneTrace(t *testing.T) {
	took := collector(t)
	var hooked atomic.Value
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		hooked.Store(r.Header.Get("Traceparent"))
	}))
	defer hook.Close()
	o := newObserved(t, nil)
	_, answer := o.ask("POST", "/jobs/submit", `{"name":"n4me","labels":{"l":"l4bel"},"jobs":[
		{"id":"st3p","type":"export","vm_path":"/DC/vm/web-01","format":"qcow2","output_path":"pl4ce"},
		{"id":"tell","type":"webhook","depends_on":"st3p","url":"`+hook.URL+`/s3cret","message":"t3xt"}]}`,
		"Content-Type", "application/json", "Traceparent", "00-"+callersTrace+"-"+callersSpan+"-01", "X-Request-ID", "req-7")
	var s client.Submitted
	if err := json.Unmarshal([]byte(answer), &s); err != nil || len(s.JobIDs) != 1 {
		t.Fatal(answer, err)
	}
	o.end(s.JobIDs[0], client.Completed)
	o.stop() // the last spans are sent
	o.eventually("the collector has told of the run", func() bool { return len(took.with(`{"stringValue":"complete"}`)) > 0 })

	byID, all := map[string]span{}, []span{}
	for _, s := range spans(t, took) {
		if s.TraceID == callersTrace {
			byID[s.SpanID] = s
			all = append(all, s)
		}
	}
	// path names the spans from the root to the first of a name.
	path := func(name string) string {
		i := slices.IndexFunc(all, func(s span) bool { return s.Name == name })
		if i < 0 {
			return "no span " + name
		}
		names := []string{}
		for s, ok := all[i], true; ok; s, ok = byID[s.ParentSpanID] {
			names = append(names, s.Name)
			if s.ParentSpanID == callersSpan {
				names = append(names, "caller")
			}
		}
		slices.Reverse(names)
		return strings.Join(names, " > ")
	}
	const run = "caller > POST /jobs/submit > run job"
	for name, want := range map[string]string{
		"store update":                "caller > POST /jobs/submit > store update",
		"copying":                     run + " > step export > copying",
		"freeze VM":                   run + " > step export > copying > freeze VM",
		"vsphere CreateSnapshot_Task": run + " > step export > copying > freeze VM > vsphere CreateSnapshot_Task",
		"copy disk":                   run + " > step export > copying > copy disk",
		"release VM":                  run + " > step export > copying > release VM",
		"verifying":                   run + " > step export > verifying",
		"publishing":                  run + " > step export > publishing",
		"POST webhook":                run + " > step webhook > POST webhook",
	} {
		if got := path(name); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	for _, s := range all {
		switch s.Name {
		case "POST /jobs/submit":
			if s.Kind != 2 || s.at("http.response.status_code") != "202" || s.at("http.route") != "/jobs/submit" {
				t.Errorf("%+v", s)
			}
		case "run job":
			if s.at("hypervisord.run.outcome") != "complete" || s.at("hypervisord.job.format") != "workflow" || len(s.Links) != 0 {
				t.Errorf("%+v", s)
			}
		case "copy disk":
			if s.at("hypervisord.disk.bytes") != "25165824" {
				t.Errorf("%+v", s)
			}
		case "POST webhook":
			if got := hooked.Load(); got != "00-"+callersTrace+"-"+s.SpanID+"-01" {
				t.Errorf("the webhook was told %v by span %s", got, s.SpanID)
			}
		}
	}
	for _, theirs := range []string{"web-01", "n4me", "l4bel", "st3p", "pl4ce", "s3cret", "t3xt", o.cfg.VSphere.Password.Reveal(), o.cfg.Output.Roots[0], hook.URL} {
		if len(took.with(theirs)) > 0 {
			t.Errorf("a span tells of %q", theirs)
		}
	}
	if seen := took.with(`"service.name","value":{"stringValue":"hypervisord"}`); len(seen) == 0 {
		t.Error("nobody says whose spans they are")
	}
	o.logsTell(s.JobIDs[0])
}

// logsTell wants the lines of the request and of the run to carry their ids.
func (o *observed) logsTell(job string) {
	o.Helper()
	for what, want := range map[string][]string{
		`"msg":"request"`:      {`"request_id":"req-7"`, `"tenant":"default"`, `"trace_id":"` + callersTrace + `"`, `"span_id":"`},
		`"msg":"reading disk"`: {`"job":"` + job, `"tenant":"default"`, `"trace_id":"` + callersTrace + `"`},
		`"change":"complete"`:  {`"job":"` + job + `"`, `"tenant":"default"`, `"trace_id":"` + callersTrace + `"`},
	} {
		var found []string
		for _, line := range o.log.with(what) {
			if !slices.ContainsFunc(want, func(w string) bool { return strings.Count(line, w) != 1 }) {
				found = append(found, line)
			}
		}
		if len(found) == 0 {
			o.Errorf("no line with %s has all of %s", what, want)
		}
	}
}

// TestTraceOverARestart: the run that goes on after a restart lies in the same
// trace and names the run before.
func TestTraceOverARestart(t *testing.T) {
	took := collector(t)
	o := newObserved(t, func(c *Config) { c.BandwidthLimit = "4MB" })
	id := o.submit("{vm_path: /DC/vm/web-01, format: raw}")
	o.eventually("it copies", func() bool {
		j, err := o.client.Get(t.Context(), id)
		return err == nil && j.Progress != nil && j.Progress.BytesRead > 0
	})
	o.stop()
	o.cfg.BandwidthLimit = "unlimited"
	o.start()
	o.end(id, client.Completed)
	o.stop()
	o.eventually("the collector has told of the run", func() bool { return len(took.with(`{"stringValue":"complete"}`)) > 0 })
	var runs []span
	for _, s := range spans(t, took) {
		if s.Name == "run job" {
			runs = append(runs, s)
		}
	}
	if len(runs) != 2 || runs[0].at("hypervisord.run.outcome") != "interrupt" || runs[1].at("hypervisord.run.outcome") != "complete" {
		t.Fatalf("%+v", runs)
	}
	if a, b := runs[0], runs[1]; a.TraceID != b.TraceID || a.ParentSpanID != b.ParentSpanID || len(b.Links) != 1 || b.Links[0].SpanID != a.SpanID || len(a.Links) != 0 {
		t.Errorf("the second run does not follow the first: %+v", runs)
	}
}

// TestNoTraceWithoutACollector: nothing of OpenTelemetry runs, and what a caller
// sends is only passed on.
func TestNoTraceWithoutACollector(t *testing.T) {
	o := newObserved(t, nil)
	if o.daemon.tracing.Tracer() != nil {
		t.Fatal("it is on")
	}
	o.ask("GET", "/jobs", "", "Traceparent", "00-"+callersTrace+"-"+callersSpan+"-01")
	if found := o.log.with("trace_id"); len(found) > 0 {
		t.Error(found)
	}
}

// TestTraceByEachDoor: the run of a job lies below the call that submitted it,
// whichever door that took.
func TestTraceByEachDoor(t *testing.T) {
	took := collector(t)
	o := newObserved(t, nil)
	want := map[string]string{} // the name of the span above the run, by job
	for i, door := range []struct{ path, body, span string }{
		{"/jobs/submit", `{"vm_path":"/DC/vm/web-01","format":"raw","output_path":"a"}`, "POST /jobs/submit"},
		{"/graphql", `{"query":"mutation { submitJob(input: {vmPath: \"/DC/vm/web-01\", format: \"raw\", outputPath: \"b\"}) { id } }"}`, "graphql submit_jobs"},
		{"/hypervisord.v1.HypervisordService/SubmitJob", `{"vmPath":"/DC/vm/web-01","format":"raw","outputPath":"c"}`, "grpc submit_jobs"},
	} {
		if status, text := o.ask("POST", door.path, door.body, "Content-Type", "application/json"); status/100 != 2 {
			t.Fatal(door.path, status, text)
		}
		jobs, err := o.client.Query(t.Context(), client.Query{})
		if err != nil || len(jobs.Jobs) != i+1 {
			t.Fatal(door.path, err)
		}
		id := jobs.Jobs[0].ID
		o.end(id, client.Completed)
		want[id] = door.span
	}
	o.stop()
	o.eventually("the collector has told of the runs", func() bool { return strings.Count(strings.Join(took.with(""), ""), `{"stringValue":"complete"}`) == 3 })
	byID := map[string]span{}
	for _, s := range spans(t, took) {
		byID[s.SpanID] = s
	}
	for _, s := range byID {
		if job, _ := s.at("hypervisord.job.id").(string); s.Name == "run job" && byID[s.ParentSpanID].Name != want[job] {
			t.Errorf("the run lies below %q, want %q", byID[s.ParentSpanID].Name, want[job])
		}
	}
}

// TestLogsReachTheCollector: the lines of a request and of a run arrive with the ids
// of their trace, which the same collector has; the daemon says who it is, and its last
// word arrives, too.
func TestLogsReachTheCollector(t *testing.T) {
	took := collector(t)
	t.Setenv("OTEL_LOGS_EXPORTER", "otlp")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	o := newObserved(t, nil)
	_, answer := o.ask("POST", "/jobs/submit", `{"vm_path":"/DC/vm/web-01","format":"raw"}`,
		"Content-Type", "application/json", "Traceparent", "00-"+callersTrace+"-"+callersSpan+"-01", "X-Request-ID", "req-9")
	var s client.Submitted
	if err := json.Unmarshal([]byte(answer), &s); err != nil || len(s.JobIDs) != 1 {
		t.Fatal(answer, err)
	}
	o.end(s.JobIDs[0], client.Completed)
	o.ask("GET", "/metrics", "")
	o.stop()
	type record struct {
		Severity string            `json:"severityText"`
		Body     map[string]string `json:"body"`
		Trace    string            `json:"traceId"`
		Span     string            `json:"spanId"`
		Attr     json.RawMessage   `json:"attributes"`
	}
	found := func() map[string]record {
		all := map[string]record{}
		for _, line := range took.with(`"resourceLogs"`) {
			var batch struct {
				ResourceLogs []struct {
					Resource  json.RawMessage `json:"resource"`
					ScopeLogs []struct {
						LogRecords []record `json:"logRecords"`
					} `json:"scopeLogs"`
				} `json:"resourceLogs"`
			}
			if err := json.Unmarshal([]byte(line), &batch); err != nil {
				t.Fatal(err)
			}
			for _, want := range []string{`"hypervisord"`, `"deployment.environment.name"`, `"service.version"`} {
				if who := string(batch.ResourceLogs[0].Resource); !strings.Contains(who, want) {
					t.Errorf("no %s in %s", want, who)
				}
			}
			for _, r := range batch.ResourceLogs[0].ScopeLogs[0].LogRecords {
				if old, ok := all[r.Body["stringValue"]]; !ok || old.Trace == "" {
					all[r.Body["stringValue"]] = r
				}
			}
		}
		return all
	}
	o.eventually("the last word arrives", func() bool { _, ok := found()["stopping"]; return ok })
	spanIDs := map[string]bool{}
	for _, s := range spans(t, took) {
		spanIDs[s.SpanID] = true
	}
	for body, attr := range map[string]string{"request": `"req-9"`, "reading disk": s.JobIDs[0]} {
		r := found()[body]
		if r.Trace != callersTrace || !spanIDs[r.Span] || r.Severity == "" || !strings.Contains(string(r.Attr), attr) {
			t.Errorf("%s: %+v %s", body, r, r.Attr)
		}
	}
	for _, theirs := range []string{o.cfg.VSphere.Password.Reveal()} {
		if len(took.with(theirs)) > 0 {
			t.Error("a line shows the password")
		}
	}
}

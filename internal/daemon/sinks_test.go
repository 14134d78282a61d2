package daemon

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// TestAuditSinks: what is done by the API stands in the file a moment later; a server
// that is away is told of by the API, by GET /health and by the metrics, and gets
// everything when it is there.
func TestAuditSinks(t *testing.T) {
	collector := unused(t)
	path := filepath.Join(t.TempDir(), "audit.jsonl")
	o := newObserved(t, func(c *Config) {
		c.Audit.Sinks = []AuditSinkConfig{
			{Name: "archive", File: &FileSinkConfig{Path: path}},
			{Name: "collector", OTLP: &OTLPSinkConfig{Endpoint: "http://" + collector}},
		}
	})
	id := o.submit("{vm_path: /DC/vm/web-01, format: raw}")
	o.end(id, client.Completed)
	sink := func(name string) (s client.AuditSink) {
		all, err := o.client.AuditSinks(t.Context())
		if err != nil || len(all) != 2 || all[0].Name != "archive" || all[1].Name != "collector" {
			t.Fatal(all, err)
		}
		return all[map[string]int{"archive": 0, "collector": 1}[name]]
	}
	o.eventually("the file has everything, and the collector fails", func() bool {
		return sink("archive").Pos >= 3 && sink("archive").State == "current" && sink("collector").State == "failing"
	})
	text, err := os.ReadFile(path)
	if err != nil || !strings.Contains(string(text), `"event":"job.completed"`) || !strings.Contains(string(text), id) {
		t.Errorf("%s %v", text, err)
	}
	if s := sink("collector"); s.LagEntries < 3 || s.Pos != 0 || !strings.Contains(s.LastError, "HX-TRACE-003") || s.Failures < 1 || s.LastTakenAt != nil {
		t.Errorf("%+v", s)
	}
	_, metrics := o.ask("GET", "/metrics", "")
	for _, want := range []string{
		`hypervisord_audit_sink_lag_entries{sink="archive"} 0`, `hypervisord_audit_sink_errors_total{sink="archive"} 0`,
		`hypervisord_audit_entries_total{result="success"} `, `hypervisord_audit_unsigned_seconds 0`,
	} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(metrics, `hypervisord_audit_sink_errors_total{sink="collector"} 0`) {
		t.Error("no error of the collector is counted")
	}
	if h, err := o.client.Health(t.Context()); err != nil || h.Checks["audit_sinks"].Status != "healthy" ||
		!strings.Contains(h.Checks["audit_sinks"].Message, "collector: ") || !strings.Contains(h.Checks["audit_sinks"].Message, "HX-TRACE-003") {
		t.Errorf("%+v %v", h, err)
	}
	err = o.daemon.engine.store.AppendRefusals(t.Context(), []event.Refusal{{Actor: "x", Operation: "enter", Count: 1, Time: time.Now().Add(-time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	spawn(t, &lines{}, collector, "otlp-receiver", collector)
	o.eventually("the collector has everything", func() bool { return sink("collector").State == "current" })
	if s := sink("collector"); s.LastError != "" || s.Failures != 0 || s.LastTakenAt == nil {
		t.Errorf("%+v", s)
	}
}

// TestALateSinkDegrades: one that has not taken for minutes what was logged.
func TestALateSinkDegrades(t *testing.T) {
	o := newObserved(t, func(c *Config) {
		c.Audit.Sinks = []AuditSinkConfig{{Name: "away", Syslog: &SyslogSinkConfig{Address: "tcp://127.0.0.1:1"}}}
	})
	err := o.daemon.engine.store.AppendRefusals(t.Context(), []event.Refusal{{Actor: "x", Operation: "enter", Count: 1, Time: time.Now().Add(-time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	o.eventually("GET /health is degraded", func() bool {
		status, answer := o.ask("GET", "/health", "")
		return status == 200 && strings.Contains(answer, `"status":"degraded"`) && strings.Contains(answer, "away: 1 entries behind for 1h0m") && strings.Contains(answer, "HX-AUDIT-023")
	})
}

// TestSinksAreChecked: a configuration says what is wrong with a sink.
func TestSinksAreChecked(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{name: a, file: {path: /x}}, {name: a, file: {path: /y}}":          "a is taken",
		"{name: A, file: {path: /x}}":                                       "sinks[0].name",
		"{name: a}":                                                         "one of file, syslog, otlp, s3",
		`{name: a, file: {path: /x}, s3: {destination: "s3://b"}}`:          "one of file, syslog, otlp, s3",
		"{name: a, file: {path: x}}":                                        "not an absolute path",
		"{name: a, file: {path: /x, max_age: 1s}}":                          "max_age",
		"{name: a, file: {path: /x, max_size: lots}}":                       "line 1",
		"{name: a, file: {path: /x, fsync: sometimes}}":                     "fsync",
		"{name: a, syslog: {address: h}}":                                   "address",
		`{name: a, syslog: {address: "tcp://h:1", format: xml}}`:            "format",
		`{name: a, syslog: {address: "tcp://h:1", facility: 24}}`:           "facility",
		`{name: a, syslog: {address: "tls://h:1", cert_file: /c}}`:          "both or none",
		`{name: a, otlp: {endpoint: "http://u:hunter2@h"}}`:                 "endpoint",
		"{name: a, s3: {destination: /b}}":                                  "destination",
		`{name: a, s3: {destination: "s3://b", every: 2h}}`:                 "every",
		`{name: a, s3: {destination: "s3://b", password: hunter2}}`:         "line 1",
		strings.Repeat("{name: a, file: {path: /x}}, ", maxSinks) + "{}":    "at most 16",
		"{name: " + strings.Repeat("a", 33) + ", file: {path: /x}}":         "sinks[0].name",
		`{name: a, syslog: {address: "tcp://h:1"}, file: {path: /x}}, {}, `: "sinks[1]",
	} {
		_, err := Load(write(t, "audit: {sinks: ["+text+"]}"), none, nil)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
	good := write(t, `audit: {sinks: [{name: a, file: {path: /x, max_size: 1MiB, max_age: 1d}}, {name: b, s3: {destination: "s3://bkt/p", every: 5s}}]}`)
	c, err := Load(good, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if o := c.Audit.Sinks[0].File.options(); o.MaxSize != 1<<20 || o.MaxAge != 24*time.Hour || o.MaxFiles != 10 || o.NoSync {
		t.Errorf("%+v", o)
	}
	c.S3 = S3Config{Endpoint: "https://own", AccessKeyFile: "/a", Roots: []string{"s3://other"}}
	own := c.Audit.Sinks[1].S3
	if s := own.store(&c.S3); s.Endpoint != "https://own" || s.AccessKeyFile != "/a" || fmt.Sprint(s.Roots) != "[s3://bkt/p]" {
		t.Errorf("%+v", s)
	}
	own.Endpoint = "https://away"
	if s := own.store(&c.S3); s.Endpoint != "https://away" || s.AccessKeyFile != "" {
		t.Errorf("another store gets our keys: %+v", s)
	}
	if text, err := c.YAML(); err != nil || !strings.Contains(string(text), "max_size: 1MiB") {
		t.Errorf("%s %v", text, err)
	}
}

// TestSinksThatCannotBeOpened: the start ends with what is wrong.
func TestSinksThatCannotBeOpened(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]AuditSinkConfig{
		"a CA that is none":   {Name: "a", Syslog: &SyslogSinkConfig{Address: "tls://h:1", CAFile: "/dev/null"}},
		"a pair that is none": {Name: "a", OTLP: &OTLPSinkConfig{Endpoint: "https://h", CertFile: "/nowhere", KeyFile: "/nowhere"}},
		"headers":             {Name: "a", OTLP: &OTLPSinkConfig{Endpoint: "https://h", HeadersFile: write(t, "hunter2")}},
		"no headers":          {Name: "a", OTLP: &OTLPSinkConfig{Endpoint: "https://h", HeadersFile: "/nowhere"}},
		"half a key":          {Name: "a", S3: &S3SinkConfig{Destination: "s3://bkt", AccessKeyFile: write(t, "k")}},
		"no bucket":           {Name: "a", S3: &S3SinkConfig{Destination: "s3://b_"}},
	} {
		c := Config{Audit: AuditConfig{Sinks: []AuditSinkConfig{s}}}
		if _, err := c.sinks(t.Context()); err == nil || strings.Contains(err.Error(), "hunter2") || fault.KindOf(err) == fault.Internal {
			t.Errorf("%s: %v", name, err)
		}
	}
}

package auditsink_test

import (
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"

	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/otlp"
	"github.com/hypersdk/hypersdk/internal/secret"
)

var us = &resourcepb.Resource{Attributes: []*commonpb.KeyValue{{Key: "service.name", Value: otlp.Text("hypervisord")}}}

func collectorAt(t *testing.T, address string) *auditsink.Collector {
	t.Helper()
	u, err := url.Parse(address)
	must(t, err)
	return auditsink.NewCollector(otlp.Config{Endpoint: u, Gzip: true, Headers: map[string]secret.Secret{"X-Token": secret.New("hunter2")}}, us)
}

// TestCollectorTakesEntries: the receiver of the OpenTelemetry Collector reads what
// we send.
func TestCollectorTakesEntries(t *testing.T) {
	t.Parallel()
	address, out := unused(t), &output{}
	listens := func() bool {
		c, err := net.Dial("tcp", address)
		if err == nil {
			_ = c.Close()
		}
		return err == nil
	}
	spawn(t, out, listens, "otlp-receiver", address)
	c := collectorAt(t, "http://"+address+"/v1/logs")
	all, _ := lines(t, 3)
	all[2].Leaf = "" // removed by retention
	must(t, c.Deliver(t.Context(), batch(all)))
	must(t, c.Deliver(t.Context(), batch(all[2:])))
	must(t, c.Close())
	eventually(t, "the receiver tells", func() bool { return strings.HasSuffix(out.String(), "\n") })
	var got struct {
		ResourceLogs []struct {
			Resource  any `json:"resource"`
			ScopeLogs []struct {
				LogRecords []struct {
					Time     string `json:"timeUnixNano"`
					Severity string `json:"severityText"`
					Event    string `json:"eventName"`
					Trace    string `json:"traceId"`
					Body     any    `json:"body"`
					Attr     any    `json:"attributes"`
				} `json:"logRecords"`
			} `json:"scopeLogs"`
		} `json:"resourceLogs"`
	}
	must(t, json.Unmarshal([]byte(out.String()), &got))
	records := got.ResourceLogs[0].ScopeLogs[0].LogRecords
	if len(records) != 2 || !strings.Contains(show(t, got.ResourceLogs[0].Resource), "hypervisord") {
		t.Fatal(out)
	}
	denied, submitted := records[0], records[1]
	if denied.Severity != "WARN" || denied.Event != "access.denied" || denied.Trace != "4bf92f3577b34da6a3ce929d0e0e4736" || denied.Time != "1790000000000000000" ||
		submitted.Severity != "INFO" || submitted.Trace != "" {
		t.Errorf("%+v", records)
	}
	for _, want := range []string{`{"key":"pos","value":{"intValue":"1"}}`, `{"key":"code","value":{"stringValue":"HX-AUTH-001"}}`, `{"key":"result","value":{"stringValue":"denied"}}`} {
		if body := show(t, denied.Body); !strings.Contains(body, want) {
			t.Errorf("%s is not in %s", want, body)
		}
	}
	if attr := show(t, denied.Attr); !strings.Contains(attr, `"audit-1"`) {
		t.Error(attr)
	}
}

// TestCollectorRefuses: what is not taken whole is not taken, and no error shows what
// a header holds.
func TestCollectorRefuses(t *testing.T) {
	t.Parallel()
	all, _ := lines(t, 2)
	for name, serve := range map[string]http.HandlerFunc{
		"refuses": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) },
		"is busy": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) },
		"takes a part": func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write([]byte{0x0a, 2, 0x08, 1}) // partial_success: rejected_log_records 1
		},
	} {
		s := httptest.NewServer(serve)
		c := collectorAt(t, s.URL)
		if err := c.Deliver(t.Context(), batch(all)); err == nil || strings.Contains(fault.Detail(err), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
		must(t, c.Close())
		s.Close()
	}
}

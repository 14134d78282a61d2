package otlp

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/hypersdk/hypersdk/internal/fault"
)

func environment(kv ...string) func(string) string {
	return func(name string) string {
		for i := 0; i < len(kv); i += 2 {
			if kv[i] == name {
				return kv[i+1]
			}
		}
		return ""
	}
}

func TestOTLPVariables(t *testing.T) {
	t.Parallel()
	const general, own = "OTEL_EXPORTER_OTLP_", "OTEL_EXPORTER_OTLP_TRACES_"
	for name, c := range map[string]struct {
		env      []string
		endpoint string // "": off
		fails    string // what the error names
	}{
		"nothing":       {nil, "", ""},
		"general":       {[]string{general + "ENDPOINT", "http://c:4318"}, "http://c:4318/v1/traces", ""},
		"with a path":   {[]string{general + "ENDPOINT", "https://c/otlp/"}, "https://c/otlp/v1/traces", ""},
		"of another":    {[]string{"OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "http://c:4318"}, "", ""},
		"of the signal": {[]string{general + "ENDPOINT", "http://c:4318", own + "ENDPOINT", "http://d/x"}, "http://d/x", ""},
		"no URL":        {[]string{general + "ENDPOINT", "hunter2@c:4318"}, "", "ENDPOINT"},
		"gRPC":          {[]string{general + "ENDPOINT", "http://c:4317", general + "PROTOCOL", "grpc"}, "", "PROTOCOL"},
		"own protocol":  {[]string{general + "ENDPOINT", "http://c", general + "PROTOCOL", "grpc", own + "PROTOCOL", "http/protobuf"}, "http://c/v1/traces", ""},
		"headers":       {[]string{general + "ENDPOINT", "http://c", general + "HEADERS", "hunter2"}, "", "HEADERS"},
		"timeout":       {[]string{general + "ENDPOINT", "http://c", general + "TIMEOUT", "10s"}, "", "TIMEOUT"},
		"compression":   {[]string{general + "ENDPOINT", "http://c", general + "COMPRESSION", "br"}, "", "COMPRESSION"},
		"certificate":   {[]string{general + "ENDPOINT", "http://c", general + "CERTIFICATE", "/nowhere"}, "", "CERTIFICATE"},
	} {
		got, err := FromEnv(environment(c.env...), Traces)
		switch {
		case c.fails != "":
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.fails) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v", name, err)
			}
		case err != nil || c.endpoint == "" != (got.Endpoint == nil) || got.Endpoint != nil && got.Endpoint.String() != c.endpoint:
			t.Errorf("%s: %+v %v", name, got, err)
		}
	}
}

// TestOTLPSends: over TLS that the variable trusts, with the headers, and again
// when the collector says so.
func TestOTLPSends(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	collector := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) == 0 || r.URL.Path != "/v1/traces" || r.Header.Get("X-Token") != "a b" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %v %d", r.URL, r.Header, len(body))
		}
		if asked.Add(1) == 1 {
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer collector.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: collector.Certificate().Raw})
	if _, err := x509.ParseCertificate(collector.Certificate().Raw); err != nil || os.WriteFile(ca, cert, 0o600) != nil {
		t.Fatal(err)
	}
	for trusted, want := range map[string]bool{ca: true, "": false} {
		c, err := FromEnv(environment("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL, "OTEL_EXPORTER_OTLP_HEADERS", "X-Token=a%20b", "OTEL_EXPORTER_OTLP_CERTIFICATE", trusted), Traces)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		if !want {
			ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		}
		o := New(c, Traces)
		if err := o.Send(ctx, &tracepb.TracesData{ResourceSpans: []*tracepb.ResourceSpans{{SchemaUrl: "x"}}}); (err == nil) != want {
			t.Errorf("trusts %q: %v", trusted, err)
		}
		cancel()
		o.Close()
	}
	if asked.Load() != 2 {
		t.Errorf("asked %d times", asked.Load())
	}
}

type answers func(*http.Request) (*http.Response, error)

func (f answers) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestOTLPGivesUp: what the collector refuses is not sent again, what it cannot
// take now is, until there is no time left; no error shows the endpoint's secrets.
func TestOTLPGivesUp(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int{400: 1, 401: 1, 302: 1, 503: 5} {
		synctest.Test(t, func(t *testing.T) {
			c, err := FromEnv(environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://user:hunter2@c:4318"), Traces)
			if err != nil {
				t.Fatal(err)
			}
			o, asked := New(c, Traces), 0
			o.http.Transport = answers(func(*http.Request) (*http.Response, error) {
				asked++
				return &http.Response{StatusCode: status, Body: http.NoBody, Header: http.Header{}}, nil
			})
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			err = o.Send(ctx, &tracepb.TracesData{})
			if err == nil || asked != want || strings.Contains(fault.Detail(err), "hunter2") {
				t.Errorf("%d: asked %d times, %s", status, asked, fault.Detail(err))
			}
		})
	}
}

// partial is an ExportLogsServiceResponse with a partial_success.
func partial(rejected uint64, message string) string {
	var b []byte
	if rejected > 0 {
		b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.VarintType), rejected)
	}
	if message != "" {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), message)
	}
	return string(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), b))
}

// TestPartialSuccess: what a collector rejects of a batch is an error, in whatever
// order its answer tells; an answer that says nothing, or nonsense, rejects nothing.
func TestPartialSuccess(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]int64{
		"": 0, partial(0, ""): 0, partial(0, "only a warning"): 0, partial(300, "too old"): 300,
		"\x0a\x05\x12\x01x\x08\x07": 7, // the message before the count
		"<html>":                    0, "\x0a\xff": 0, "\x0a\x02\x08": 0, "\x0a\x01\x08": 0,
	} {
		if got := rejected([]byte(answer)); got != want {
			t.Errorf("%q: %d, want %d", answer, got, want)
		}
	}
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, partial(1, ""))
	}))
	defer collector.Close()
	c, err := FromEnv(environment("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL), Logs)
	if err != nil {
		t.Fatal(err)
	}
	if err := New(c, Logs).Post(t.Context(), &tracepb.TracesData{}); !fault.Is(err, fault.Unprocessable) {
		t.Error(err)
	}
}

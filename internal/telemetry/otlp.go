package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/version"
)

// otlpConfig is what the OTEL_EXPORTER_OTLP_* variables say; those with TRACES_
// in their name come first.
type otlpConfig struct {
	endpoint *url.URL // of the signal; nil: traces go nowhere
	headers  map[string]secret.Secret
	timeout  time.Duration
	gzip     bool
	tls      *tls.Config
}

const (
	otlpTime = 10 * time.Second // for one request, unless the environment says otherwise
	otlpWait = time.Second      // before the second try, doubled for each further one
	otlpRead = 64 << 10         // bytes of an answer
)

// readOTLP reads the environment. Kind Invalid names the variable.
func readOTLP(get func(name string) string) (c otlpConfig, err error) {
	either := func(name string) string {
		if v := get("OTEL_EXPORTER_OTLP_TRACES_" + name); v != "" {
			return v
		}
		return get("OTEL_EXPORTER_OTLP_" + name)
	}
	if c.endpoint, err = otlpEndpoint(get); err != nil || c.endpoint == nil {
		return c, err
	}
	if p := either("PROTOCOL"); p != "" && p != "http/protobuf" {
		return c, otlpWrong("PROTOCOL", "only http/protobuf is spoken here; collectors take it on port 4318")
	}
	if c.headers, err = otlpHeaders(either("HEADERS")); err != nil {
		return c, err
	}
	c.timeout = otlpTime
	if text := either("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return c, otlpWrong("TIMEOUT", "give milliseconds")
		}
		c.timeout = time.Duration(ms) * time.Millisecond
	}
	switch either("COMPRESSION") {
	case "gzip":
		c.gzip = true
	case "", "none":
	default:
		return c, otlpWrong("COMPRESSION", "one of gzip, none")
	}
	c.tls, err = otlpTLS(either("CERTIFICATE"), either("CLIENT_CERTIFICATE"), either("CLIENT_KEY"))
	return c, err
}

func otlpWrong(name, fix string) error {
	return fault.New(fault.Invalid, "HX-TRACE-001", "OTEL_EXPORTER_OTLP_"+name+" has a value that cannot be used", fix)
}

func otlpEndpoint(get func(string) string) (*url.URL, error) {
	text, path := get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"), ""
	if text == "" {
		text, path = get("OTEL_EXPORTER_OTLP_ENDPOINT"), "v1/traces"
	}
	if text == "" {
		return nil, nil //nolint:nilnil // documented
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, otlpWrong("ENDPOINT", "give http://HOST:4318 or https://HOST:PORT") // the text may hold a password
	}
	if path != "" {
		u = u.JoinPath(path)
	}
	return u, nil
}

// otlpHeaders reads KEY=VALUE,… as the W3C's Baggage has it.
func otlpHeaders(text string) (map[string]secret.Secret, error) {
	all := map[string]secret.Secret{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !found || key == "" || err != nil {
			return nil, otlpWrong("HEADERS", "give KEY=VALUE, separated by commas")
		}
		all[key] = secret.New(value)
	}
	return all, nil
}

func otlpTLS(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		c.RootCAs = x509.NewCertPool()
		if err != nil || !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, otlpWrong("CERTIFICATE", "name a readable file with PEM certificates")
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, otlpWrong("CLIENT_CERTIFICATE", "name readable PEM files here and in CLIENT_KEY")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// otlp sends spans to a collector over HTTP. It implements otlptrace.Client: the
// one that comes with OpenTelemetry would link gRPC (ADR 26).
type otlp struct {
	c    otlpConfig
	http *http.Client
}

func newOTLP(c otlpConfig) *otlp {
	return &otlp{c: c, http: &http.Client{
		Timeout:       c.timeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: c.tls, ForceAttemptHTTP2: true, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start implements otlptrace.Client.
func (*otlp) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (o *otlp) Stop(context.Context) error {
	o.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It tries again what the collector may
// take later, until ctx is done: the batch processor gives it half a minute.
func (o *otlp) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData has the wire format of ExportTraceServiceRequest.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err != nil {
		return fmt.Errorf("encode spans: %w", err)
	}
	if o.c.gzip {
		var b bytes.Buffer
		w := gzip.NewWriter(&b)
		_, err := w.Write(body)
		if err := errors.Join(err, w.Close()); err != nil {
			return fmt.Errorf("compress spans: %w", err)
		}
		body = b.Bytes()
	}
	for wait := otlpWait; ; wait *= 2 {
		after, err := o.post(ctx, body)
		if err == nil || !fault.KindOf(err).Retryable() {
			return err
		}
		timer := time.NewTimer(max(wait, after))
		select {
		case <-ctx.Done():
			timer.Stop()
			return err
		case <-timer.C:
		}
	}
}

// post sends one batch once; after is how long the collector wants to be left
// alone. Kinds Unavailable (try again), Unprocessable.
func (o *otlp) post(ctx context.Context, body []byte) (after time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.c.endpoint.String(), bytes.NewReader(body))
	if err != nil {
		return 0, fault.Wrap(err, fault.Unprocessable, "HX-TRACE-002", "the collector cannot be called", "")
	}
	for key, value := range o.c.headers {
		req.Header.Set(key, value.Reveal())
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("User-Agent", "hypervisord/"+version.String())
	if o.c.gzip {
		req.Header.Set("Content-Encoding", "gzip")
	}
	res, err := o.http.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err // the URL may hold a password
		}
		return 0, fault.Wrap(err, fault.Unavailable, "HX-TRACE-003", "the collector at "+o.c.endpoint.Host+" does not answer", "check OTEL_EXPORTER_OTLP_ENDPOINT and the collector")
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, otlpRead)) // what it says is not used
	_ = res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK, http.StatusAccepted, http.StatusNoContent:
		return 0, nil
	case http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		seconds, _ := strconv.Atoi(res.Header.Get("Retry-After"))
		return time.Duration(max(0, seconds)) * time.Second,
			fault.Newf(fault.Unavailable, "HX-TRACE-003", "", "the collector at %s answered %d", o.c.endpoint.Host, res.StatusCode)
	}
	return 0, fault.Newf(fault.Unprocessable, "HX-TRACE-004", "check OTEL_EXPORTER_OTLP_ENDPOINT and _HEADERS",
		"the collector at %s refused spans with %d", o.c.endpoint.Host, res.StatusCode)
}

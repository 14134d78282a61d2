package otlp

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// Signal is what is sent.
type Signal string

// The signals, as paths and variables name them.
const (
	Traces Signal = "traces"
	Logs   Signal = "logs"
)

// Config says where a signal goes.
type Config struct {
	Endpoint *url.URL // of the signal; nil: it goes nowhere
	Headers  map[string]secret.Secret
	Timeout  time.Duration // of one request; 0: 10 s
	Gzip     bool
	TLS      *tls.Config
}

// FromEnv reads the OTEL_EXPORTER_OTLP_* variables; those with the signal in their
// name come first. Kind Invalid names the variable.
func FromEnv(get func(name string) string, signal Signal) (c Config, err error) {
	own := "OTEL_EXPORTER_OTLP_" + strings.ToUpper(string(signal)) + "_"
	either := func(name string) string {
		if v := get(own + name); v != "" {
			return v
		}
		return get("OTEL_EXPORTER_OTLP_" + name)
	}
	if c.Endpoint, err = endpoint(get, own, signal); err != nil || c.Endpoint == nil {
		return c, err
	}
	if p := either("PROTOCOL"); p != "" && p != "http/protobuf" {
		return c, wrong("PROTOCOL", "only http/protobuf is spoken here; collectors take it on port 4318")
	}
	if c.Headers, err = ReadHeaders(either("HEADERS")); err != nil {
		return c, err
	}
	c.Timeout = postTime
	if text := either("TIMEOUT"); text != "" {
		ms, err := strconv.Atoi(text)
		if err != nil || ms <= 0 {
			return c, wrong("TIMEOUT", "give milliseconds")
		}
		c.Timeout = time.Duration(ms) * time.Millisecond
	}
	switch either("COMPRESSION") {
	case "gzip":
		c.Gzip = true
	case "", "none":
	default:
		return c, wrong("COMPRESSION", "one of gzip, none")
	}
	if c.TLS, err = ReadTLS(either("CERTIFICATE"), either("CLIENT_CERTIFICATE"), either("CLIENT_KEY")); err != nil {
		return c, wrong("CERTIFICATE, _CLIENT_CERTIFICATE or _CLIENT_KEY", fault.As(err).Msg)
	}
	return c, nil
}

func wrong(name, fix string) error {
	return fault.New(fault.Invalid, "HX-TRACE-001", "OTEL_EXPORTER_OTLP_"+name+" has a value that cannot be used", fix)
}

func endpoint(get func(string) string, own string, signal Signal) (*url.URL, error) {
	text, path := get(own+"ENDPOINT"), ""
	if text == "" {
		text, path = get("OTEL_EXPORTER_OTLP_ENDPOINT"), "v1/"+string(signal)
	}
	if text == "" {
		return nil, nil //nolint:nilnil // documented
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, wrong("ENDPOINT", "give http://HOST:4318 or https://HOST:PORT") // the text may hold a password
	}
	if path != "" {
		u = u.JoinPath(path)
	}
	return u, nil
}

// ReadHeaders reads KEY=VALUE,… as the W3C's Baggage has it. Kind Invalid.
func ReadHeaders(text string) (map[string]secret.Secret, error) {
	all := map[string]secret.Secret{}
	for pair := range strings.SplitSeq(text, ",") {
		if strings.TrimSpace(pair) == "" {
			continue
		}
		key, value, found := strings.Cut(pair, "=")
		value, err := url.PathUnescape(strings.TrimSpace(value))
		if key = strings.TrimSpace(key); !found || key == "" || err != nil {
			return nil, wrong("HEADERS", "give KEY=VALUE, separated by commas")
		}
		all[key] = secret.New(value)
	}
	return all, nil
}

// ReadTLS reads the files of a connection: whom to trust instead of the system's, and
// who we are. Kind Invalid.
func ReadTLS(ca, cert, key string) (*tls.Config, error) {
	c := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca != "" {
		text, err := os.ReadFile(ca)
		c.RootCAs = x509.NewCertPool()
		if err != nil || !c.RootCAs.AppendCertsFromPEM(text) {
			return nil, fault.New(fault.Invalid, "HX-TRACE-008", ca+" holds no certificates", "name a readable file with PEM certificates")
		}
	}
	if cert != "" || key != "" {
		pair, err := tls.LoadX509KeyPair(cert, key)
		if err != nil {
			return nil, fault.Wrap(err, fault.Invalid, "HX-TRACE-009", cert+" and "+key+" are no certificate with its key", "name readable PEM files")
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

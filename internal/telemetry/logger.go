// Package telemetry is what the daemon tells about itself: its log (slog), its
// metrics (Prometheus) and its traces (OpenTelemetry). It fills the hooks of the packages below and knows none
// above.
package telemetry

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Longest values in a log line, in bytes: what callers send must not flood it.
const (
	maxValue = 1 << 10
	maxStack = 16 << 10
)

// NewLogger returns a logger that writes one line per event to w: level is debug,
// info, warn or error, format json or text. Kind Invalid for another. A line that
// is written with a context carries the trace, request, tenant and job of it.
//
// Secrets have a type that does not show (package secret). As a second line of
// defence an attribute with the name of a secret is redacted, and so are the
// credentials in a URL and all HTTP headers.
//
// The level may be changed by what is returned with the logger.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, *slog.LevelVar, error) {
	l := &slog.LevelVar{}
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, nil, fault.Wrap(err, fault.Invalid, "HX-LOG-001", fmt.Sprintf("%.50q is no log level", level), "one of debug, info, warn, error")
	}
	o := &slog.HandlerOptions{Level: l, ReplaceAttr: clean}
	switch format {
	case "json":
		return slog.New(contextual{Handler: slog.NewJSONHandler(w, o)}), l, nil
	case "text":
		return slog.New(contextual{Handler: slog.NewTextHandler(w, o)}), l, nil
	}
	return nil, nil, fault.Newf(fault.Invalid, "HX-LOG-002", "one of json, text", "%.50q is no log format", format)
}

const redacted = "[redacted]"

// secretNames are parts of the names under which secrets travel.
var secretNames = []string{"password", "passwd", "secret", "token", "authorization", "cookie", "api_key", "apikey", "credential", "private_key"}

// clean is the slog.HandlerOptions.ReplaceAttr of every line.
func clean(groups []string, a slog.Attr) slog.Attr {
	if isSecretName(a.Key) || slices.ContainsFunc(groups, isSecretName) {
		return slog.String(a.Key, redacted)
	}
	switch a.Value.Kind() {
	case slog.KindTime:
		a.Value = slog.TimeValue(a.Value.Time().UTC())
	case slog.KindString:
		a.Value = slog.StringValue(cleanText(a.Key, a.Value.String()))
	case slog.KindAny:
		a.Value = cleanAny(a.Key, a.Value.Any())
	case slog.KindDuration: // seconds, as everywhere
		return slog.Float64(a.Key+"_seconds", a.Value.Duration().Seconds())
	case slog.KindBool, slog.KindFloat64, slog.KindGroup, slog.KindInt64, slog.KindLogValuer, slog.KindUint64:
	}
	return a
}

func isSecretName(key string) bool {
	key = strings.ToLower(strings.ReplaceAll(key, "-", "_"))
	return slices.ContainsFunc(secretNames, func(name string) bool { return strings.Contains(key, name) })
}

func cleanAny(key string, v any) slog.Value {
	switch v := v.(type) {
	case http.Header:
		return slog.StringValue(redacted)
	case *url.URL:
		return slog.StringValue(cleanText(key, v.Redacted()))
	case error:
		return slog.StringValue(cleanText(key, v.Error()))
	}
	return slog.AnyValue(v)
}

// userinfo is the part of a URL between // and @.
var userinfo = regexp.MustCompile(`://[^/\s@]+@`)

func cleanText(key, s string) string {
	limit := maxValue
	if key == "stack" {
		limit = maxStack
	}
	if len(s) > limit {
		cut := limit
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = fmt.Sprintf("%s… (%d bytes more)", s[:cut], len(s)-cut)
	}
	if strings.Contains(s, "://") {
		s = userinfo.ReplaceAllString(s, "://"+redacted+"@")
	}
	return s
}

package telemetry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/telemetry"
)

func logger(t testing.TB, format string) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var b bytes.Buffer
	log, _, err := telemetry.NewLogger(&b, "debug", format)
	if err != nil {
		t.Fatal(err)
	}
	return log, &b
}

func TestSecretsDoNotShow(t *testing.T) {
	const canary = "c4n4ry"
	u, err := url.Parse("https://user:" + canary + "@vc.example/sdk")
	if err != nil {
		t.Fatal(err)
	}
	attrs := map[string]slog.Attr{
		"password":            slog.String("vcenter_password", canary),
		"any case":            slog.String("X-API-Key", canary),
		"token":               slog.Any("SessionToken", []string{canary}),
		"cookie":              slog.String("Set-Cookie", canary),
		"authorization":       slog.String("Authorization", "Bearer "+canary),
		"number":              slog.Int64("secret", 0xc4),
		"group":               slog.Group("credentials", slog.String("user", "x"), slog.String("value", canary)),
		"group below":         slog.Group("vsphere", slog.Group("auth", slog.String("password", canary))),
		"headers":             slog.Any("headers", http.Header{"Authorization": {canary}}),
		"url":                 slog.Any("url", u),
		"url as text":         slog.String("url", "https://user:"+canary+"@vc.example/sdk"),
		"token as user":       slog.String("url", "see https://"+canary+"@vc.example/sdk."),
		"error":               slog.Any("error", fmt.Errorf("get %q: %w", "https://u:"+canary+"@vc/sdk", errors.New("refused"))),
		"secret in a struct":  slog.Any("config", struct{ Password secret.Secret }{secret.New(canary)}),
		"secret as a valuer":  slog.Any("key", secret.New(canary)),
		"group of everything": slog.Any("secrets", map[string]string{"a": canary}),
	}
	for name, attr := range attrs {
		for _, format := range []string{"json", "text"} {
			t.Run(name+" "+format, func(t *testing.T) {
				log, out := logger(t, format)
				log.LogAttrs(t.Context(), slog.LevelInfo, "connected to https://u:"+canary+"@vc/sdk", attr)
				if strings.Contains(out.String(), canary) {
					t.Fatalf("it shows: %s", out)
				}
				if !strings.Contains(out.String(), "redacted") && !strings.Contains(out.String(), "xxxxx") {
					t.Fatalf("nothing was redacted: %s", out)
				}
			})
		}
	}
}

func TestOrdinaryAttributesShow(t *testing.T) {
	log, out := logger(t, "json")
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	log.Info("copied", "job", "0199", "bytes", 5, "took", 1500*time.Millisecond, "url", "https://vc/sdk?x=a@b", "at", at,
		"error", fault.New(fault.Timeout, "HX-X-001", "too slow", "wait"))
	var got map[string]any
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	delete(got, "time")
	want := map[string]any{
		"level": "INFO", "msg": "copied", "job": "0199", "bytes": 5.0, "took_seconds": 1.5, "url": "https://vc/sdk?x=a@b",
		"at": "2026-01-02T02:04:05Z", "error": "HX-X-001 too slow → wait",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}

func TestLongValuesAreCut(t *testing.T) {
	log, out := logger(t, "json")
	log.Info("x", "path", strings.Repeat("ä", 1<<20), "stack", strings.Repeat("s", 1<<20))
	if out.Len() > 20<<10 || !strings.Contains(out.String(), "bytes more)") || strings.Contains(out.String(), `\ufffd`) {
		t.Fatalf("%d bytes: %.2000s", out.Len(), out)
	}
}

func TestLevelAndFormat(t *testing.T) {
	for level, format := range map[string]string{"loud": "json", "": "json", "info": "xml"} {
		if _, _, err := telemetry.NewLogger(&bytes.Buffer{}, level, format); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q %q: %v", level, format, err)
		}
	}
	var b bytes.Buffer
	log, _, err := telemetry.NewLogger(&b, "WARN", "text")
	if err != nil {
		t.Fatal(err)
	}
	log.Info("quiet")
	log.Warn("heard")
	if got := b.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "heard") {
		t.Fatal(got)
	}
}

// FuzzOneEventIsOneLine holds that no value can forge a second event.
func FuzzOneEventIsOneLine(f *testing.F) {
	f.Add("msg", "key", "value")
	f.Add("a\nb", "k\r\n", "\x1b[31mred\x00\u2028{\"level\":\"ERROR\"}\xff")
	f.Add("https://", "stack", "://a@://b@")
	f.Fuzz(func(t *testing.T, msg, key, value string) {
		log, out := logger(t, "json")
		log.Info(msg, slog.Group("g", slog.String(key, value)), "error", errors.New(value))
		if strings.Count(out.String(), "\n") != 1 {
			t.Fatalf("not one line: %q", out)
		}
		var event map[string]any
		if err := json.Unmarshal(out.Bytes(), &event); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		plain, out := logger(t, "text")
		plain.Info(msg, key, value)
		if strings.Count(out.String(), "\n") != 1 || strings.ContainsAny(out.String(), "\x1b\x00\r") {
			t.Fatalf("not one line: %q", out)
		}
	})
}

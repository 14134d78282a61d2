package webhook

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

var failure = Outcome{Status: 503, Class: Refused}

// TestDefaultPatience: the delays of the Standard Webhooks specification, 75 hours
// together, then it is dead.
func TestDefaultPatience(t *testing.T) {
	d := Definition{}.WithDefaults()
	var sum time.Duration
	for try := 1; ; try++ {
		v := d.Judge(try, false, failure, 0.5)
		if v.State != Pending {
			if try != 10 || v.State != Dead {
				t.Errorf("attempt %d: %+v", try, v)
			}
			break
		}
		sum += v.Delay
	}
	if want := 75*time.Hour + 35*time.Minute + 5*time.Second; sum.Round(time.Second) != want {
		t.Errorf("%s, want %s", sum, want)
	}
}

func TestJudge(t *testing.T) {
	own := Definition{Retry: &Retry{MaxRetries: new(4), InitialDelay: "10s", MaxDelay: "1m", BackoffFactor: 3, RetryOnStatus: []int{418}}}.WithDefaults()
	none := Definition{Retry: &Retry{MaxRetries: new(0)}}.WithDefaults()
	def := Definition{}.WithDefaults()
	for _, c := range []struct {
		name   string
		d      Definition
		try    int
		once   bool
		o      Outcome
		chance float64
		want   Verdict
	}{
		{"taken", def, 1, false, Outcome{Status: 200}, 0, Verdict{State: Delivered, Alive: true}},
		{"first", own, 1, false, Outcome{Class: TimedOut}, 0.5, Verdict{State: Pending, Delay: 10 * time.Second}},
		{"factor", own, 2, false, Outcome{Class: Unreachable}, 0.5, Verdict{State: Pending, Delay: 30 * time.Second}},
		{"bound", own, 3, false, Outcome{Class: Blocked}, 0.5, Verdict{State: Pending, Delay: time.Minute}},
		{"least", own, 3, false, Outcome{Status: 418, Class: Refused}, 0, Verdict{State: Pending, Delay: 54 * time.Second}},
		{"most", own, 4, false, Outcome{Status: 302, Class: Redirected}, 1, Verdict{State: Pending, Delay: 66 * time.Second}},
		{"last", own, 5, false, Outcome{Status: 418, Class: Refused}, 0.5, Verdict{State: Dead}},
		{"not listed", own, 1, false, Outcome{Status: 500, Class: Refused}, 0.5, Verdict{State: Dead}},
		{"the message", def, 1, false, Outcome{Status: 422, Class: Refused}, 0.5, Verdict{State: Dead, Alive: true}},
		{"gone", def, 1, false, Outcome{Status: 410, Class: Gone}, 0.5, Verdict{State: Dead, Gone: true}},
		{"no retries", none, 1, false, failure, 0.5, Verdict{State: Dead}},
		{"a test", def, 1, true, failure, 0.5, Verdict{State: Dead}},
		{"asked to wait", own, 1, false, Outcome{Status: 418, Class: Refused, RetryAfter: time.Hour}, 0.5, Verdict{State: Pending, Delay: time.Hour, Hold: time.Hour}},
		{"asked for too much", own, 1, false, Outcome{Status: 418, Class: Refused, RetryAfter: 1e6 * time.Hour}, 0.5,
			Verdict{State: Pending, Delay: MaxRetryAfter, Hold: MaxRetryAfter}},
	} {
		if got := c.d.Judge(c.try, c.once, c.o, c.chance); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// TestBreaker walks through the states: f is a failure, s a success, each digit so
// many minutes.
func TestBreaker(t *testing.T) {
	for _, c := range []struct {
		walk string
		want BreakerState
		room int
	}{
		{"", Closed, 3},
		{"ff", Closed, 1},
		{"ffs", Closed, 3},
		{"fff", Open, 0},
		{"fffs", Open, 0}, // a late answer
		{"fff4", Open, 0},
		{"fff5", HalfOpen, 1},
		{"fff5f", Open, 0},
		{"fff5f4", Open, 0},
		{"fff5f5", HalfOpen, 1},
		{"fff5s", HalfOpen, 1},
		{"fff5ss", Closed, 3},
		{"fff5ssff", Closed, 1},
		{"fff5sf", Open, 0},
		{"fff5sf5s", HalfOpen, 1},
	} {
		d := Definition{Breaker: &BreakerPolicy{FailureThreshold: 3, SuccessThreshold: 2, Timeout: "5m"}}.WithDefaults()
		h, now := Health{Breaker: Closed}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		for _, r := range c.walk {
			switch r {
			case 'f':
				h.Record(&d, failure, d.Judge(1, false, failure, 0), now)
			case 's':
				h.Record(&d, Outcome{Status: 200}, Verdict{Alive: true}, now)
			default:
				now = now.Add(time.Duration(r-'0') * time.Minute)
				h.Look(now)
			}
		}
		if h.Breaker != c.want || h.Room(&d) != c.room {
			t.Errorf("%s: %s with room for %d, want %s with %d", c.walk, h.Breaker, h.Room(&d), c.want, c.room)
		}
		if (h.Breaker == Open) != h.NotBefore().After(now) {
			t.Errorf("%s: not before %s, now %s", c.walk, h.NotBefore(), now)
		}
	}
	off := Definition{Breaker: &BreakerPolicy{Enabled: new(bool)}}.WithDefaults()
	h := Health{Breaker: Closed}
	for range 100 {
		h.Record(&off, failure, Verdict{}, time.Now())
	}
	if h.Breaker != Closed || h.Room(&off) != maxInFlight {
		t.Errorf("switched off: %+v", h)
	}
}

func TestWants(t *testing.T) {
	for _, c := range []struct {
		patterns, kind string
		want           bool
	}{
		{"job.completed", "job.completed", true},
		{"job.*", "job.failed", true},
		{"job.*", "step.failed", false},
		{"*.failed", "step.failed", true},
		{"*", "tenant.created", true},
		{"*", "webhook.disabled", false},
		{"* webhook.dis*", "webhook.disabled", true},
		{"job.co?pleted", "job.completed", true},
		{"", "job.completed", true},
		{"", "job.submitted", false},
	} {
		d := Definition{Events: strings.Fields(c.patterns)}.WithDefaults()
		if got := d.WantsKind(event.Kind(c.kind)); got != c.want {
			t.Errorf("%q wants %s: %v", c.patterns, c.kind, got)
		}
	}
	w := Webhook{ID: "me", Spec: Definition{Events: []string{"webhook.*"}}}
	if w.Wants(event.Event{Kind: "webhook.disabled", Data: event.Data{Subject: "webhook:me"}}) ||
		!w.Wants(event.Event{Kind: "webhook.disabled", Data: event.Data{Subject: "webhook:you"}}) {
		t.Error("of itself it hears nothing, of others it does")
	}
}

// TestSignature: the published library verifies it, with each secret that signs.
func TestSignature(t *testing.T) {
	now := time.Now()
	first, err := NewKey(now.Add(-time.Hour))
	must(t, err)
	p := Private{Keys: []Key{first}}
	second, err := NewKey(now.Add(-time.Minute))
	must(t, err)
	p.Rotate(second, time.Hour)
	if id := DeliveryID("hook", 7); id != DeliveryID("hook", 7) || id == DeliveryID("hook", 8) || id == DeliveryID("hooks", 7) || len(id) != 30 {
		t.Error(id)
	}
	check := func(k *Key, at time.Time, body string) error {
		h := http.Header{}
		p.Sign(h, "msg_1", at, []byte("{}"))
		v, err := standardwebhooks.NewWebhook(k.Text().Reveal())
		must(t, err)
		return v.VerifyIgnoringTimestamp([]byte(body), h)
	}
	if check(&first, now, "{}") != nil || check(&second, now, "{}") != nil {
		t.Error("in the overlap both verify")
	}
	if check(&first, now.Add(2*time.Hour), "{}") == nil || check(&second, now.Add(2*time.Hour), "{}") != nil {
		t.Error("after it only the new one does")
	}
	if check(&second, now, "{ }") == nil {
		t.Error("another body verifies")
	}
	for range 10 {
		k, err := NewKey(now)
		must(t, err)
		p.Rotate(k, time.Hour)
	}
	if len(p.Keys) != MaxSecrets {
		t.Errorf("%d secrets", len(p.Keys))
	}
}

// TestBox: another key, tenant or webhook does not open it, and nothing shows.
func TestBox(t *testing.T) {
	key, err := seal.New(make([]byte, 32))
	must(t, err)
	other, err := seal.New([]byte(strings.Repeat("x", 32)))
	must(t, err)
	k, err := NewKey(time.Now())
	must(t, err)
	w := Webhook{ID: "id", Tenant: "t"}
	must(t, w.Seal(key, Private{URL: "https://example.com/canary", Keys: []Key{k}}))
	p, err := w.Open(key)
	must(t, err)
	if p.URL != "https://example.com/canary" || string(p.Keys[0].Raw) != string(k.Raw) {
		t.Errorf("%+v", p)
	}
	text, err := json.Marshal(w)
	must(t, err)
	if strings.Contains(string(text)+fmt.Sprintf("%+v", w)+string(w.Box), "canary") {
		t.Error("the box shows its content")
	}
	theirs, twin, bent := w, w, w
	theirs.Tenant, twin.ID, bent.Box = "u", "other", slices.Clone(w.Box)
	bent.Box[20] ^= 1
	for name, v := range map[string]Webhook{"another tenant": theirs, "another webhook": twin, "a changed box": bent} {
		if _, err := v.Open(key); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.Open(other); !fault.Is(err, fault.Corrupt) || other.ID() == key.ID() {
		t.Errorf("another key: %v", err)
	}
}

func message() Message {
	j := &job.Job{Spec: job.Spec{Name: "n", VMPath: "/DC/vm/<!channel>", Provider: "vsphere", Format: "ova", Labels: map[string]string{"a": "b"}}}
	return NewMessage(event.Event{
		Seq: 7, JobID: "id", Tenant: "t", Kind: event.Failed, Actor: "node:a", Time: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Data: event.Data{State: job.Failed, Error: &job.Failure{Kind: "corrupt", Code: "HX-X-1", Message: "<b> & \"q\""}},
	}, j)
}

func TestFormats(t *testing.T) {
	const data = `{"event_seq":7,"tenant":"t","actor":"node:a","job_id":"id","job":{"name":"n","vm_path":"/DC/vm/\u003c!channel\u003e","provider":"vsphere","format":"ova","labels":{"a":"b"}},` +
		`"status":"failed","attempt":0,"error":{"kind":"corrupt","code":"HX-X-1","message":"\u003cb\u003e \u0026 \"q\""}}`
	for _, c := range []struct{ format, template, want, contentType string }{
		{"standard", "", `{"type":"job.failed","timestamp":"2026-01-02T03:04:05Z","data":` + data + `}`, "application/json"},
		{"cloudevents", "", `{"specversion":"1.0","id":"msg_1","source":"/hypervisord/tenants/t","type":"io.hypersdk.job.failed","subject":"id",` +
			`"time":"2026-01-02T03:04:05Z","datacontenttype":"application/json","data":` + data + `}`, "application/cloudevents+json"},
		{"slack", "", `{"text":"*job failed: /DC/vm/\u0026lt;!channel\u0026gt;*\nJob: id\nName: n\nFormat: ova\nError: HX-X-1 \u0026lt;b\u0026gt; \u0026amp; \"q\"\nTenant: t\nBy: node:a"}`, "application/json"},
		{"template", `{"t": {{json .title}}, "x": [{{if eq .type "job.failed"}}{{json .data.error.message}}{{end}}, {{json .data.absent}}, {{with .data.job.labels}}{{json .a}}{{end}}]}`,
			`{"t": "job failed: /DC/vm/\u003c!channel\u003e", "x": ["\u003cb\u003e \u0026 \"q\"", null, "b"]}`, "application/json"},
	} {
		d := Definition{Format: Format(c.format), Template: c.template}
		got, contentType, err := d.Render("msg_1", message())
		must(t, err)
		if got != c.want || contentType != c.contentType {
			t.Errorf("%s: %s\ngot  %s\nwant %s", c.format, contentType, got, c.want)
		}
	}
	d := Definition{Format: Teams}
	got, _, err := d.Render("msg_1", message())
	must(t, err)
	if !json.Valid([]byte(got)) || !strings.Contains(got, `"type":"AdaptiveCard"`) || !strings.Contains(got, `{"title":"Error","value":"HX-X-1 `) {
		t.Error(got)
	}
}

// TestTheCallersAddressStays: what a webhook says does not hold where the caller is.
func TestTheCallersAddressStays(t *testing.T) {
	e := event.OfWebhook("t", "id", "created", "x", "key:a", time.Now())
	e.Data.Origin = &tenant.Origin{IP: "192.0.2.7"}
	d := Definition{Format: Standard}
	got, _, err := d.Render("msg_1", NewMessage(e, nil))
	must(t, err)
	if strings.Contains(got, "192.0.2.7") || e.Data.Origin == nil {
		t.Error(got)
	}
}

// TestTemplates: what can run for long, or makes no JSON, is refused.
func TestTemplates(t *testing.T) {
	for name, text := range map[string]string{
		"a loop":             `[{{range .data.labels}}1{{end}}]`,
		"define":             `{{define "x"}}{{template "x"}}{{end}}{{template "x"}}`,
		"a template":         `{{template "x" .}}`,
		"block":              `{{block "x" .}}{{end}}`,
		"printf":             `{{printf "%1000000000d" 1}}`,
		"call":               `{{call .x}}`,
		"html":               `{{html .type}}`,
		"no JSON":            `hello {{.type}}`,
		"a value unescaped":  `{"vm": "{{.data.error.message}}"}`,
		"quotes of quotes":   `{{"\"" ` + strings.Repeat("| json ", 40) + `}}`,
		"a long one":         `"` + strings.Repeat("x", maxTemplate) + `"`,
		"a broken one":       `{{if}}`,
		"an unknown name":    `{{env "PATH"}}`,
		"a method":           `{{json .Foo.Bar}}x`,
		"a wrong comparison": `{{lt .type 7}}`,
	} {
		d := Definition{Name: "x", Format: Template, Template: text}.WithDefaults()
		if err := d.Validate(); !fault.Is(err, fault.Unprocessable) || len(fault.As(err).Msg) > 1000 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Definition{Name: "ops"}
	must(t, func() error { d := good.WithDefaults(); return d.Validate() }())
	for want, edit := range map[string]func(d *Definition){
		"name":                     func(d *Definition) { d.Name = "../x" },
		"looks like an id":         func(d *Definition) { d.Name = "0192d1f5-7d1c-7d1c-8d1c-0192d1f57d1c" },
		"description":              func(d *Definition) { d.Description = strings.Repeat("x", 501) },
		"events[1]":                func(d *Definition) { d.Events = []string{"*", "Job completed"} },
		"at most 50":               func(d *Definition) { d.Events = slices.Repeat([]string{"*"}, 51) },
		"vms[0]":                   func(d *Definition) { d.VMs = []string{"[a"} },
		"labels":                   func(d *Definition) { d.Labels = map[string]string{"": "x"} },
		"format":                   func(d *Definition) { d.Format = "xml" },
		"template goes with":       func(d *Definition) { d.Template = "{}" },
		"needs one":                func(d *Definition) { d.Format = Template },
		"timeout":                  func(d *Definition) { d.Timeout = "61s" },
		"disable_after":            func(d *Definition) { d.DisableAfter = "-1s" },
		"max_retries":              func(d *Definition) { d.Retry = &Retry{MaxRetries: new(51)} },
		"initial_delay":            func(d *Definition) { d.Retry = &Retry{InitialDelay: "1000h"} },
		"backoff_factor must":      func(d *Definition) { d.Retry = &Retry{InitialDelay: "1s", BackoffFactor: 0.5} },
		"go with initial_delay":    func(d *Definition) { d.Retry = &Retry{MaxDelay: "1s"} },
		"retry_on_status":          func(d *Definition) { d.Retry = &Retry{RetryOnStatus: []int{200}} },
		"410":                      func(d *Definition) { d.Retry = &Retry{RetryOnStatus: []int{410}} },
		"failure_threshold":        func(d *Definition) { d.Breaker = &BreakerPolicy{FailureThreshold: -1} },
		"success_threshold":        func(d *Definition) { d.Breaker = &BreakerPolicy{SuccessThreshold: 1001} },
		"circuit_breaker.timeout ": func(d *Definition) { d.Breaker = &BreakerPolicy{Timeout: "soon"} },
	} {
		d := good
		edit(&d)
		d = d.WithDefaults()
		if err := d.Validate(); !fault.Is(err, fault.Unprocessable) || !strings.Contains(fault.As(err).Msg, want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	for text, good := range map[string]bool{
		"https://example.com/x": true, "http://10.0.0.1:8080/x?y=z": true, "https://[::1]/": true,
		"": false, "example.com": false, "ftp://example.com/": false, "https:///x": false, "https://:443/x": false, "https:x": false,
		"https://user:canary@example.com/": false, "https://example.com/#f": false, "javascript:alert(1)": false, "https://exa mple/canary": false,
		"https://example.com/" + strings.Repeat("x", maxURL): false,
	} {
		if err := CheckURL(text); (err == nil) != good || err != nil && strings.Contains(fault.Detail(err), "canary") {
			t.Errorf("%.60s: %v", text, err)
		}
	}
}

// FuzzTemplate: no template ends the process or makes anything but JSON.
func FuzzTemplate(f *testing.F) {
	for _, text := range []string{`{"t": {{json .title}}}`, `{{if .data}}1{{else}}2{{end}}`, `{{with $x := .type}}{{json $x}}{{end}}`, `{{index .data "job"}}`, `{{len .}}`, `{{(index . "data").x}}`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		out, err := execute(text, message())
		if err == nil && (!json.Valid([]byte(out)) || len(out) > maxPayload) {
			t.Errorf("%q", out)
		}
	})
}

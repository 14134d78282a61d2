package rest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
)

func TestWebhooks(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	made, err := w.api.CreateWebhook(ctx, client.WebhookSpec{Name: "ops", URL: "https://hooks.example.com/T0/canary", Labels: map[string]string{"a": "b"}})
	must(t, err)
	if !strings.HasPrefix(made.Secret, "whsec_") || made.Webhook.Spec.URL != "https://hooks.example.com/[hidden]" || len(made.Webhook.Spec.Events) != 3 ||
		*made.Webhook.Spec.Retry.MaxRetries != 9 || !*made.Webhook.Spec.Breaker.Enabled || made.Webhook.Health.Breaker != "closed" {
		t.Fatalf("%+v", made)
	}
	text := "name: flow\nurl: http://10.0.0.1:8080/x\nretry: {max_retries: 0, initial_delay: 1s, backoff_factor: 1.5, retry_on_status: [418]}\ncircuit_breaker: {enabled: false}\n"
	flow, err := w.api.CreateWebhookFile(ctx, []byte(text), "application/yaml")
	must(t, err)
	if r := flow.Webhook.Spec.Retry; *r.MaxRetries != 0 || r.BackoffFactor != 1.5 || r.RetryOnStatus[0] != 418 || *flow.Webhook.Spec.Breaker.Enabled {
		t.Errorf("%+v", flow.Webhook.Spec)
	}
	var names []string
	for h, err := range w.api.Webhooks(ctx) {
		must(t, err)
		names = append(names, h.Spec.Name)
	}
	if strings.Join(names, " ") != "flow ops" {
		t.Error(names)
	}
	if got := w.call("GET", "/webhooks?limit=1", ""); !strings.Contains(got.body, `"next_cursor"`) {
		t.Errorf("%+v", got)
	}
	spec := made.Webhook.Spec // with the URL as it is shown
	spec.Description = "changed"
	set, err := w.api.SetWebhook(ctx, "ops", spec)
	must(t, err)
	if set.Spec.Description != "changed" || set.Spec.URL != made.Webhook.Spec.URL || set.ID != made.Webhook.ID {
		t.Errorf("%+v", set)
	}
	spec.Name = "flow"
	if _, err := w.api.SetWebhook(ctx, "ops", spec); err == nil || !strings.Contains(err.Error(), "HX-HOOK-034") {
		t.Errorf("a taken name: %v", err)
	}
	rotated, err := w.api.RotateWebhook(ctx, "ops", time.Hour)
	must(t, err)
	if rotated.Secret == made.Secret || len(rotated.Webhook.Secrets) != 2 || rotated.Webhook.Secrets[1].ExpiresAt == nil {
		t.Errorf("%+v", rotated)
	}
	off, err := w.api.DisableWebhook(ctx, "ops")
	must(t, err)
	again, err := w.api.DisableWebhook(ctx, "ops")
	must(t, err)
	if off.Enabled || off.DisabledReason == "" || !again.UpdatedAt.Equal(off.UpdatedAt) {
		t.Errorf("%+v", off)
	}
	if got := w.call("POST", "/webhooks/ops/test", ""); got.status != 409 || got.problem(t).Code != "HX-HOOK-038" {
		t.Errorf("%+v", got)
	}
	on, err := w.api.EnableWebhook(ctx, made.Webhook.ID)
	must(t, err)
	if !on.Enabled || on.DisabledReason != "" {
		t.Errorf("%+v", on)
	}
	w.deliveriesOfATest(t)
	must(t, w.api.DeleteWebhook(ctx, "ops"))
	if got := w.call("GET", "/webhooks/"+made.Webhook.ID, ""); got.status != 404 {
		t.Errorf("%+v", got)
	}
	for _, s := range []string{"canary", strings.TrimPrefix(made.Secret, "whsec_"), strings.TrimPrefix(rotated.Secret, "whsec_")} {
		if strings.Contains(w.log.String(), s) {
			t.Errorf("the log holds %s", s)
		}
	}
}

// deliveriesOfATest: a test is a delivery, which can be asked for and sent again.
func (w *world) deliveriesOfATest(t *testing.T) {
	t.Helper()
	ctx := t.Context()
	test, err := w.api.TestWebhook(ctx, "ops")
	must(t, err)
	got, err := w.api.Delivery(ctx, "ops", test.ID)
	must(t, err)
	if test.Status != "pending" || got.Kind != "webhook.test" || !strings.Contains(got.Payload, `"type":"webhook.test"`) || got.NextAt == nil {
		t.Errorf("%+v", got)
	}
	_, err = w.api.ResendDelivery(ctx, "ops", test.ID)
	must(t, err)
	n := 0
	for d, err := range w.api.Deliveries(ctx, "ops", "pending") {
		must(t, err)
		if n++; d.ID != test.ID || d.Payload != "" {
			t.Errorf("%+v", d)
		}
	}
	for range w.api.Deliveries(ctx, "ops", "dead") {
		n++
	}
	if n != 1 {
		t.Errorf("%d deliveries", n)
	}
	w.submit(1)
	replayed, err := w.api.ReplayWebhook(ctx, "ops", time.Now().Add(-time.Hour))
	must(t, err)
	if replayed != 0 { // job.submitted is none of its events
		t.Errorf("%d replayed", replayed)
	}
}

// Each is a precise refusal, and nothing is stored.
func TestBadWebhooks(t *testing.T) {
	w := newWorld(t)
	const js, yaml = "application/json", "application/yaml"
	there, err := w.api.CreateWebhook(t.Context(), client.WebhookSpec{Name: "there", URL: "https://example.com/"})
	must(t, err)
	url := `,"url":"https://example.com/canary"}`
	for _, c := range []struct {
		name, contentType, body string
		status                  int
		want                    string
	}{
		{"empty", js, "", 400, "is required"},
		{"unknown key", js, `{"name":"x","evnts":["*"]` + url, 400, "did you mean events"},
		{"unknown key inside", js, `{"name":"x","retry":{"max_retry":1}` + url, 400, "retry.max_retry"},
		{"repeated key", js, `{"name":"x","name":"y"` + url, 400, "twice"},
		{"wrong type", js, `{"name":"x","events":"*"` + url, 400, "a list"},
		{"no number", js, `{"name":"x","retry":{"initial_delay":"1s","backoff_factor":"two"}` + url, 400, "backoff_factor"},
		{"half a retry", js, `{"name":"x","retry":{"max_retries":1.5}` + url, 400, "whole number"},
		{"name that climbs", js, `{"name":"../x"` + url, 422, "name"},
		{"NUL in the name", js, `{"name":"a\u0000"` + url, 422, "name"},
		{"no scheme", js, `{"name":"x","url":"example.com"}`, 422, "https://HOST"},
		{"a file", js, `{"name":"x","url":"file:///etc/passwd"}`, 422, "url"},
		{"a password", js, `{"name":"x","url":"https://u:canary@example.com/"}`, 422, "password"},
		{"no event", js, `{"name":"x","events":["Job Completed"]` + url, 422, "events[0]"},
		{"a broken glob", yaml, "name: x\nurl: https://example.com/\nvms: ['[a']\n", 422, "vms[0]"},
		{"a loop", js, `{"name":"x","format":"template","template":"[{{range .data}}1{{end}}]"` + url, 422, "range"},
		{"endless retries", js, `{"name":"x","retry":{"max_retries":1000000}` + url, 422, "max_retries"},
		{"no threshold", js, `{"name":"x","circuit_breaker":{"failure_threshold":-1}` + url, 422, "failure_threshold"},
		{"a long attempt", js, `{"name":"x","timeout":"1h"` + url, 422, "timeout"},
		{"a tenant", js, `{"name":"x","tenant":"other"` + url, 400, "tenant"},
		{"large", js, `{"name":"x","description":"` + strings.Repeat("x", 300<<10) + `"` + url, 422, "description"},
		{"huge", js, `{"name":"` + strings.Repeat("x", 2<<20), 413, "1 MiB"},
		{"picture", "image/png", "x", 400, "image/png"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for method, path := range map[string]string{"POST": "/webhooks", "PUT": "/webhooks/" + there.Webhook.ID} {
				got := w.call(method, path, c.body, "Content-Type", c.contentType)
				if p := got.problem(t); got.status != c.status || !strings.Contains(p.Code+" "+p.Detail, c.want) || p.Fix == "" || len(got.body) > 4096 || strings.Contains(got.body, "canary") {
					t.Errorf("%s: %d %.600s", method, got.status, got.body)
				}
			}
		})
	}
	if got := w.call("POST", "/webhooks", `{"name":"x"}`, "Content-Type", js); got.status != 422 || got.problem(t).Code != "HX-HOOK-023" {
		t.Errorf("no url: %+v", got)
	}
	for _, c := range []struct {
		method, path, body string
		status             int
	}{
		{"GET", "/webhooks/none", "", 404}, {"DELETE", "/webhooks/none", "", 404}, {"POST", "/webhooks/none/test", "", 404},
		{"GET", "/webhooks/%00", "", 404}, {"GET", "/webhooks/there/deliveries/none", "", 404}, {"POST", "/webhooks/there/deliveries/none/resend", "", 404},
		{"GET", "/webhooks?limit=0", "", 400}, {"GET", "/webhooks?cursor=!", "", 400}, {"GET", "/webhooks/there/deliveries?status=lost", "", 400},
		{"GET", "/webhooks/there/deliveries?cursor=-1", "", 400}, {"GET", "/webhooks?tenant=other", "", 400}, {"PATCH", "/webhooks/there", "", 405},
		{"POST", "/webhooks/there/rotate", `{"overlap":"soon"}`, 400}, {"POST", "/webhooks/there/rotate", `{"overlap":"1000h"}`, 422},
		{"POST", "/webhooks/there/replay", `{}`, 400}, {"POST", "/webhooks/there/replay", `{"since":"yesterday"}`, 400},
	} {
		if got := w.call(c.method, c.path, c.body, "Content-Type", js); got.status != c.status {
			t.Errorf("%s %s %s: %d %s", c.method, c.path, c.body, got.status, got.body)
		}
	}
	n := 0
	for h, err := range w.api.Webhooks(t.Context()) {
		must(t, err)
		n++
		if !h.UpdatedAt.Equal(there.Webhook.UpdatedAt) {
			t.Errorf("changed: %+v", h)
		}
	}
	if n != 1 {
		t.Errorf("%d webhooks", n)
	}
}

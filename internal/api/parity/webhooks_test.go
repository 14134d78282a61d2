package parity_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/outbox"
	"github.com/hypersdk/hypersdk/internal/tenant"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

var (
	theWebhook  = byID(func(o objects) string { return o.webhook })
	theDelivery = func(o objects) call { return call{id: o.webhook, key: o.delivery} }
	noDelivery  = func(o objects) call { return call{id: o.webhook, key: "msg_none"} }
)

func disabled(w *world, o *objects) {
	_, err := w.svc.DisableWebhook(w.t.Context(), o.us, o.webhook)
	must(w.t, err)
}

// missed makes an event that the webhook is for, and that it missed while it was disabled.
func missed(w *world, o *objects) {
	disabled(w, o)
	w.jobs(o)
	_, err := w.svc.EnableWebhook(w.t.Context(), o.us, o.webhook)
	must(w.t, err)
}

// failed is an attempt that the endpoint refused, after which it is left alone.
func failed(w *world, o *objects) {
	w.t.Helper()
	ctx := w.t.Context()
	_, err := w.svc.SetWebhook(ctx, o.us, o.webhook, webhook.Definition{Name: "ops", Breaker: &webhook.BreakerPolicy{FailureThreshold: 1}})
	must(w.t, err)
	turns, err := w.store.ClaimTurns(ctx, outbox.Claim{Node: "n1", Key: w.sealer.ID(), Limit: 10_000})
	must(w.t, err)
	for _, turn := range turns {
		var results []outbox.Result
		if turn.Webhook.ID == o.webhook {
			results = []outbox.Result{{
				ID: o.delivery, At: time.Now(), Took: 250 * time.Millisecond, Outcome: webhook.Outcome{Status: 503, Class: webhook.Refused},
				Verdict: webhook.Verdict{State: webhook.Dead, Hold: time.Hour},
			}}
		}
		_, err := w.store.SettleTurn(ctx, turn, results)
		must(w.t, err)
	}
}

func hidden(_ objects, v any) bool {
	text := show(v)
	return strings.Contains(text, "https://hooks.example.com/[hidden]") && !strings.Contains(text, "canary")
}

const hookURL = "https://hooks.example.com/T1/canary"

var webhookScenarios = []scenario{
	{name: "webhooks", op: "list_webhooks", call: query(obj{"limit": 10}), check: hidden},
	{name: "webhook", op: "get_webhook", call: theWebhook, check: hidden},
	{name: "webhook by name", op: "get_webhook", call: byID(func(objects) string { return "ops" }), check: hidden},
	{name: "create a webhook", op: "create_webhook", call: body(obj{
		"name": "all", "description": "d", "url": hookURL, "events": []string{"job.*"}, "vms": []string{"web-*"}, "labels": obj{"a_b": "c"}, "format": "slack", "timeout": "5s",
		"retry":           obj{"max_retries": 0, "initial_delay": "1s", "max_delay": "5m", "backoff_factor": 1.5, "retry_on_status": []int{429, 503}},
		"circuit_breaker": obj{"enabled": false, "failure_threshold": 3, "success_threshold": 1, "timeout": "30s"}, "disable_after": "0s",
	}), check: func(o objects, v any) bool { return hidden(o, v) && strings.Contains(show(v), `"secret":"whsec_`) }},
	{name: "create a webhook with a template", op: "create_webhook", call: body(obj{"name": "t", "url": hookURL, "format": "template", "template": `{"text": {{json .type}}}`})},
	{name: "set a webhook", op: "set_webhook", call: with(theWebhook, obj{"name": "renamed", "url": hookURL, "retry": obj{"max_retries": 3}}), check: hidden},
	{name: "set a webhook, its url stays", op: "set_webhook", call: with(theWebhook, obj{"name": "ops", "events": []string{"*"}}), check: hidden},
	{name: "delete a webhook", op: "delete_webhook", call: theWebhook},
	{name: "enable a webhook", op: "enable_webhook", prepare: disabled, call: theWebhook},
	{name: "enable it again", op: "enable_webhook", call: theWebhook},
	{name: "disable a webhook", op: "disable_webhook", call: theWebhook, check: func(_ objects, v any) bool { return field(v, "disabled_reason") != nil }},
	{name: "rotate a webhook", op: "rotate_webhook", call: with(theWebhook, obj{"overlap": "1h"}), check: func(o objects, v any) bool {
		return len(field(field(v, "webhook"), "secrets").([]any)) == 2 && field(v, "secret") != o.signing
	}},
	{name: "test a webhook", op: "test_webhook", call: theWebhook, check: has("status", "pending")},
	{name: "replay", op: "replay_webhook", prepare: missed, call: with(theWebhook, obj{"since": "2026-01-01T00:00:00Z"}),
		check: func(_ objects, v any) bool { return fmt.Sprint(field(v, "deliveries")) == "1" }},
	{name: "replay nothing", op: "replay_webhook", call: with(theWebhook, obj{"since": "2999-01-01T00:00:00Z"})},
	{name: "deliveries", op: "list_deliveries", call: theWebhook},
	{name: "deliveries in a state", op: "list_deliveries", call: func(o objects) call { return call{id: o.webhook, query: obj{"status": "pending", "limit": 1}} },
		check: func(_ objects, v any) bool { return len(field(v, "items").([]any)) == 1 }},
	{name: "deliveries that are dead", op: "list_deliveries", call: func(o objects) call { return call{id: o.webhook, query: obj{"status": "dead"}} }},
	{name: "delivery", op: "get_delivery", call: theDelivery, check: func(_ objects, v any) bool { return strings.Contains(show(v), "webhook.test") }},
	{name: "delivery that failed", op: "get_delivery", prepare: failed, call: theDelivery, check: func(_ objects, v any) bool {
		return len(field(v, "log").([]any)) == 1 && has("last_error", "refused")(objects{}, v)
	}},
	{name: "webhook that failed", op: "get_webhook", prepare: failed, call: theWebhook, check: func(_ objects, v any) bool {
		return field(field(v, "health"), "circuit_breaker") == "open" && field(field(v, "health"), "open_until") != nil
	}},
	{name: "resend", op: "resend_delivery", call: theDelivery},

	{name: "webhooks of nobody", op: "list_webhooks", strange: anonymous, kind: "unauthenticated"},
	{name: "operator makes a webhook", op: "create_webhook", role: tenant.Operator, call: body(obj{"name": "x", "url": hookURL}), kind: "denied", code: "HX-AUTH-002"},
	{name: "viewer resends", op: "resend_delivery", role: tenant.Viewer, call: theDelivery, kind: "denied", code: "HX-AUTH-002"},
	{name: "no such webhook", op: "get_webhook", call: nothing, kind: "not_found", code: "HX-HOOK-032"},
	{name: "deliveries of none", op: "list_deliveries", call: nothing, kind: "not_found", code: "HX-HOOK-032"},
	{name: "no such delivery", op: "get_delivery", call: noDelivery, kind: "not_found", code: "HX-HOOK-033"},
	{name: "resend none", op: "resend_delivery", call: noDelivery, kind: "not_found", code: "HX-HOOK-033"},
	{name: "a stranger's webhook", op: "rotate_webhook", role: tenant.Admin, prepare: strangersWebhook, call: theWebhook, kind: "not_found", code: "HX-HOOK-032"},
	{name: "a stranger's delivery", op: "get_delivery", role: tenant.Viewer, prepare: strangersWebhook, call: theDelivery, kind: "not_found", code: "HX-HOOK-032"},
	{name: "a stranger's delivery of the own webhook", op: "get_delivery", prepare: func(w *world, o *objects) {
		own := o.webhook
		strangersWebhook(w, o)
		o.webhook = own
	}, call: theDelivery, kind: "not_found", code: "HX-HOOK-033"},
	{name: "a webhook twice", op: "create_webhook", call: body(obj{"name": "ops", "url": hookURL}), kind: "conflict", code: "HX-HOOK-034"},
	{name: "test a disabled", op: "test_webhook", prepare: disabled, call: theWebhook, kind: "conflict", code: "HX-HOOK-038"},
	{name: "resend of a disabled", op: "resend_delivery", prepare: disabled, call: theDelivery, kind: "conflict", code: "HX-HOOK-038"},
	{name: "a bad webhook", op: "create_webhook", call: body(obj{"name": "a b", "url": hookURL, "events": []string{"Job Completed"}, "retry": obj{"max_retries": 1000}}), kind: "unprocessable", code: "HX-HOOK-020"},
	{name: "no url", op: "create_webhook", call: body(obj{"name": "x"}), kind: "unprocessable", code: "HX-HOOK-023"},
	{name: "a url with a password", op: "set_webhook", call: with(theWebhook, obj{"name": "x", "url": "https://u:canary@example.com/"}), kind: "unprocessable", code: "HX-HOOK-023"},
	{name: "a long overlap", op: "rotate_webhook", call: with(theWebhook, obj{"overlap": "1000h"}), kind: "unprocessable", code: "HX-HOOK-025"},
	{name: "no overlap", op: "rotate_webhook", call: with(theWebhook, obj{"overlap": "x"}), kind: "invalid", code: "HX-HOOK-029"},
	{name: "since when", op: "replay_webhook", call: with(theWebhook, obj{}), kind: "invalid"},
	{name: "limit of webhooks", op: "list_webhooks", call: query(obj{"limit": -1}), kind: "invalid"},
	{name: "cursor of webhooks", op: "list_webhooks", call: query(obj{"cursor": "!"}), kind: "invalid", code: "HX-HOOK-027"},
	{name: "cursor of deliveries", op: "list_deliveries", call: func(o objects) call { return call{id: o.webhook, query: obj{"cursor": "x"}} }, kind: "invalid", code: "HX-HOOK-027"},
	{name: "no such state", op: "list_deliveries", call: func(o objects) call { return call{id: o.webhook, query: obj{"status": "lost"}} }, kind: "invalid"},
	{name: "too often: test", op: "test_webhook", prepare: limited("test_webhook"), call: theWebhook, kind: "exhausted", code: "HX-TEST-004"},
}

// strangersWebhook makes the tenant's webhook that of another one.
func strangersWebhook(w *world, o *objects) {
	other := w.tenant("other-"+string(o.tenant), tenant.Viewer, "webhook")
	o.webhook, o.delivery = other.webhook, other.delivery
}

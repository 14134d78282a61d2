package rest_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
)

// TestEveryChangeTakesAKey: the document has the header at each operation that is no
// mere question, and tells of the mark of a replay.
func TestEveryChangeTakesAKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
			Parameters  []struct {
				Name string `json:"name"`
				In   string `json:"in"`
			} `json:"parameters"`
			Responses map[string]struct {
				Headers map[string]any `json:"headers"`
			} `json:"responses"`
		} `json:"paths"`
	}
	must(t, json.Unmarshal([]byte(w.call("GET", "/openapi.json", "").body), &doc))
	questions := []string{"query_jobs", "render_profile", "create_session", "end_session"} // or harmless to repeat
	changes := 0
	for path, methods := range doc.Paths {
		for method, op := range methods {
			keyed, marked := false, false
			for _, p := range op.Parameters {
				keyed = keyed || p.Name == "Idempotency-Key" && p.In == "header"
			}
			for status, r := range op.Responses {
				marked = marked || status[0] == '2' && r.Headers["Idempotent-Replayed"] != nil
			}
			want := method != "get" && !slices.Contains(questions, op.OperationID)
			if keyed != want || marked != want {
				t.Errorf("%s %s: takes a key %t, marks a replay %t, want %t", method, path, keyed, marked, want)
			}
			if want {
				changes++
			}
		}
	}
	if changes < 35 {
		t.Errorf("only %d operations change anything", changes)
	}
}

// TestWebhooksOnce makes each change of a webhook twice under one key.
func TestWebhooksOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.submit(2)
	send := func(method, path, body string) answer {
		t.Helper()
		k := strings.ReplaceAll(strings.Trim(method+path, "/"), "/", "-")
		headers := []string{"Idempotency-Key", k, "Content-Type", "application/json"}
		first := w.call(method, path, body, headers...)
		again := w.call(method, path, body, headers...)
		if first.status/100 != 2 || again.status != first.status || again.body != first.body ||
			again.header.Get("Content-Type") != first.header.Get("Content-Type") || again.header.Get("Location") != first.header.Get("Location") ||
			first.header.Get("Idempotent-Replayed") != "" || again.header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s %s:\n%+v\n%+v", method, path, first, again)
		}
		if other := w.call("POST", "/keys", `{"name":"k","role":"viewer"}`, headers...); other.status != 422 || other.problem(t).Code != "HX-JOB-012" {
			t.Errorf("another request with the key of %s %s: %+v", method, path, other)
		}
		return first
	}
	send("POST", "/webhooks", `{"name":"ops","url":"https://hooks.example.com/T0/canary","events":["job.submitted"]}`)
	send("PUT", "/webhooks/ops", `{"name":"ops","description":"d","events":["job.submitted"]}`)
	send("POST", "/webhooks/ops/replay", `{"since":"2020-01-01T00:00:00Z"}`)
	send("POST", "/webhooks/ops/disable", "")
	send("POST", "/webhooks/ops/enable", "")
	send("POST", "/webhooks/ops/rotate", `{"overlap":"1h"}`)
	var test struct {
		ID string `json:"id"`
	}
	must(t, json.Unmarshal([]byte(send("POST", "/webhooks/ops/test", "").body), &test))
	send("POST", "/webhooks/ops/deliveries/"+test.ID+"/resend", "")
	send("DELETE", "/webhooks/ops", "")
}

// slow is an output whose removal takes until the test says so.
type slow struct{ begun, goOn chan struct{} }

func (s slow) Remove(context.Context, job.Job, bool) (int64, error) {
	s.begun <- struct{}{}
	<-s.goOn
	return 1, nil
}

// TestInFlight: while a call is at work, the same one is told to wait.
func TestInFlight(t *testing.T) {
	t.Parallel()
	s := slow{make(chan struct{}), make(chan struct{})}
	other, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Synchronous: store.Off})
	must(t, err)
	t.Cleanup(func() { must(t, other.Close()) })
	w := newWorld(t, func(d *rest.Deps, _ *http.Server) {
		d.Retention = service.NewRetention(other, s, service.RetentionPolicy{ArtifactAge: 1}, service.RetentionHooks{}, nil, slog.New(slog.DiscardHandler))
	})
	_, err = service.New(other, service.Deps{Validator: validator{}, Feed: other}).Submit(t.Context(), root(), []job.Spec{{VMPath: "a"}}, service.SubmitOptions{})
	must(t, err)
	leases, err := other.Claim(t.Context(), "n", time.Minute, 1)
	must(t, err)
	_, err = other.Apply(t.Context(), leases[0], job.CompleteWith("n", job.Outcome{Artifacts: []job.Artifact{{Name: "x", Path: "/out/x"}}}))
	must(t, err)
	first := make(chan answer, 1)
	go func() { first <- w.call("POST", "/retention/run", "{}", "Idempotency-Key", "k") }()
	<-s.begun
	if got := w.call("POST", "/retention/run", "{}", "Idempotency-Key", "k"); got.status != 409 || got.problem(t).Code != service.InFlight || got.header.Get("Retry-After") != "1" {
		t.Errorf("%+v", got)
	}
	close(s.goOn)
	done := <-first
	again := w.call("POST", "/retention/run", "{}", "Idempotency-Key", "k")
	if done.status != 200 || again.body != done.body || again.header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("%+v\n%+v", done, again)
	}
}

// TestHostileKeys: what is no key is refused before anything is done.
func TestHostileKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, k := range []string{strings.Repeat("k", 256), strings.Repeat("k", 20_000), "two words", "ümlaut", "a\tb", "\"quoted\" or not"} {
		if got := w.call("POST", "/tenants", `{"id":"new"}`, "Idempotency-Key", k); got.status != 400 {
			t.Errorf("%.20q: %+v", k, got)
		}
	}
	if got := w.call("POST", "/tenants", `{"id":"new"}`, "Idempotency-Key", strings.Repeat("~", 255)); got.status != 201 {
		t.Errorf("the longest key: %+v", got)
	}
	if got := w.call("GET", "/tenants", "", "Idempotency-Key", "two words"); got.status != 200 {
		t.Errorf("a question takes no key and looks at none: %+v", got)
	}
}

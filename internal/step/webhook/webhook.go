// Package webhook is the step that tells somebody else: it posts JSON to a URL.
// The URL is a secret and is in no message; addresses inside of the network are
// refused at the moment of connecting, after the name was resolved.
package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/hypersdk/hypersdk/internal/egress"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/seal"
	"github.com/hypersdk/hypersdk/internal/tracing"
	"github.com/hypersdk/hypersdk/internal/webhook"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// attemptTime bounds one request, the answer included.
const attemptTime = 30 * time.Second

// Hook posts. It implements workflow.Executor.
type Hook struct {
	key    *seal.Key // opens URLs
	client *http.Client
	agent  string
	wait   time.Duration // for one request
}

// New makes the executor. client keeps to the rules of where calls may go.
// key opens the URLs.
func New(client *http.Client, key *seal.Key, agent string) *Hook {
	return &Hook{client: client, key: key, agent: agent, wait: attemptTime}
}

// Validate implements workflow.Executor. The values were judged already.
func (*Hook) Validate(context.Context, job.Step) error { return nil }

// Cleanup implements workflow.Executor: what was said cannot be taken back.
func (*Hook) Cleanup(context.Context, workflow.Task) error { return nil }

// Message is what is posted; to Slack only its text.
type Message struct {
	Job       string          `json:"job_id"`
	Workflow  string          `json:"workflow"`
	Step      string          `json:"step"`
	Text      string          `json:"text"`
	Message   string          `json:"message"`
	Steps     []job.StepState `json:"steps"` // all of the workflow
	Artifacts []job.Artifact  `json:"artifacts,omitempty"`
	Time      time.Time       `json:"time"`
}

// Execute implements workflow.Executor. Kinds: Unavailable and Timeout (try
// again), Exhausted (429), Denied (the address), Unprocessable (refused there).
func (h *Hook) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, h.wait,
		fault.New(fault.Timeout, "HX-HOOK-001", "the webhook did not answer in time", "check the receiver"))
	defer cancel()
	target, err := webhook.OpenURL(h.key, t.Parent.Tenant, t.Step.URL)
	if err != nil {
		return job.Outcome{}, err
	}
	body, err := body(t)
	if err != nil {
		return job.Outcome{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err != nil {
		return job.Outcome{}, fault.New(fault.Unprocessable, "HX-HOOK-002", "the webhook's URL cannot be called", "correct the URL")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", h.agent)
	req.Header.Set("Idempotency-Key", t.Job.ID) // the same for all attempts
	ctx, span := tracing.Client(ctx, "POST webhook", attribute.String("http.request.method", http.MethodPost))
	tracing.Inject(ctx, req.Header)
	res, err := h.client.Do(req)
	if err != nil {
		err = unanswered(ctx, err, req.URL)
		span.End(err)
		return job.Outcome{}, err
	}
	span.Set(attribute.Int("http.response.status_code", res.StatusCode))
	_ = res.Body.Close() // what it says is not used
	err = judge(res.StatusCode, req.URL.Host)
	span.End(err)
	return job.Outcome{}, err
}

func body(t workflow.Task) ([]byte, error) {
	m := Message{
		Job: t.Parent.ID, Workflow: t.Parent.Spec.Name, Step: t.Step.ID, Text: t.Step.Message, Message: t.Step.Message,
		Steps: t.States, Time: time.Now().UTC(),
	}
	if t.Input != nil {
		m.Artifacts = t.Input.Artifacts
	}
	if m.Text == "" {
		m.Text = fmt.Sprintf("%s: step %s (job %s)", m.Workflow, m.Step, m.Job)
	}
	var v any = m
	if u, err := url.Parse(t.Step.URL); err == nil && u.Hostname() == "hooks.slack.com" {
		v = map[string]string{"text": m.Text} // it refuses what it does not know
	}
	text, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("webhook: %w", err)
	}
	return text, nil
}

// unanswered explains why there is no answer. The text of err holds the URL and
// is dropped.
func unanswered(ctx context.Context, err error, u *url.URL) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause
	}
	if errors.Is(err, egress.ErrBlocked) {
		return fault.Newf(fault.Denied, "HX-HOOK-003", "add its network to webhooks.allow_private, or its port to webhooks.allow_ports, if that is wanted; http is only for private networks",
			"the webhook's host %.100q leads to an address that is not public, or to a port that is not allowed", u.Hostname())
	}
	if wrapped, ok := errors.AsType[*url.Error](err); ok {
		err = wrapped.Err
	}
	return fault.Wrap(err, fault.Unavailable, "HX-HOOK-004", fmt.Sprintf("the webhook's host %.100q cannot be reached", u.Host), "check the receiver and the network")
}

func judge(status int, host string) error {
	switch {
	case status/100 == 2:
		return nil
	case status == http.StatusTooManyRequests:
		return fault.Newf(fault.Exhausted, "HX-HOOK-005", "", "%s answered %d", host, status)
	case status/100 == 5, status == http.StatusRequestTimeout:
		return fault.Newf(fault.Unavailable, "HX-HOOK-006", "check the receiver", "%s answered %d", host, status)
	case status/100 == 3:
		return fault.Newf(fault.Unprocessable, "HX-HOOK-007", "give the URL that it leads to", "%s answered with a redirect (%d); it is not followed", host, status)
	}
	return fault.Newf(fault.Unprocessable, "HX-HOOK-008", "check the URL", "%s refused the webhook with %d", host, status)
}

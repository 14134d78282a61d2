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
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tracing"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// attemptTime bounds one request, the answer included.
const attemptTime = 30 * time.Second

// maxAnswer is how much of an answer is read, to reuse the connection.
const maxAnswer = 64 << 10

// Hook posts. It implements workflow.Executor.
type Hook struct {
	client *http.Client
	agent  string
	wait   time.Duration // for one request
}

// New makes the executor. allowPrivate lists the networks inside of which it may
// call; all that are not public are refused otherwise.
func New(allowPrivate []netip.Prefix, agent string) *Hook {
	dialer := &net.Dialer{Timeout: 10 * time.Second, Control: guard(allowPrivate)}
	return &Hook{agent: agent, wait: attemptTime, client: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, ForceAttemptHTTP2: true, // no Proxy: it would resolve the name itself
			TLSHandshakeTimeout: 10 * time.Second, DisableKeepAlives: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// errPrivate: the address is not for strangers.
var errPrivate = errors.New("the address is not public")

// guard refuses addresses when the connection is made: what the name resolved to
// is what is checked.
func guard(allowed []netip.Prefix) func(network, address string, c syscall.RawConn) error {
	return func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return errPrivate
		}
		ip := at.Addr().Unmap().WithZone("")
		for _, p := range allowed {
			if p.Contains(ip) {
				return nil
			}
		}
		if !public(ip) {
			return errPrivate
		}
		return nil
	}
}

// special are networks beside those that netip knows which are no public ones:
// shared address space, benchmarks, protocol assignments, IPv4 inside of IPv6.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("240.0.0.0/4"), netip.MustParsePrefix("64:ff9b::/96"),
	netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("fec0::/10"),
}

func public(ip netip.Addr) bool {
	for _, p := range special {
		if p.Contains(ip) {
			return false
		}
	}
	return ip.IsGlobalUnicast() && !ip.IsPrivate()
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
	body, err := body(t)
	if err != nil {
		return job.Outcome{}, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.Step.URL, bytes.NewReader(body))
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
	_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // what it says is not used
	_ = res.Body.Close()
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
	if errors.Is(err, errPrivate) {
		return fault.Newf(fault.Denied, "HX-HOOK-003", "add its network to webhooks.allow_private if that is wanted",
			"the webhook's host %.100q leads to an address that is not public", u.Hostname())
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

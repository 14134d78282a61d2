package webhook

import (
	"errors"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// Bounds of a definition.
const (
	maxName        = 63
	maxDescription = 500
	maxURL         = 2048
	maxPatterns    = 50
	maxPattern     = 256
	maxLabels      = 20
)

var (
	nameForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,63}$`)
	kindForm = regexp.MustCompile(`^[a-z*?][a-z0-9_.*?]{0,63}$`)
)

// Validate judges a definition that has its defaults, but for its URL. Kind
// Unprocessable; the message lists all problems.
func (d Definition) Validate() error {
	var wrong []string
	note := func(errs ...error) {
		for _, err := range errs {
			if err != nil {
				wrong = append(wrong, err.Error())
			}
		}
	}
	note(checkName(d.Name))
	if len(d.Description) > maxDescription || !utf8.ValidString(d.Description) {
		note(fmt.Errorf("description is longer than %d bytes", maxDescription))
	}
	note(d.checkFilter()...)
	note(d.checkFormat())
	note(within("timeout", d.Timeout, time.Second, maxTimeout), within("disable_after", d.DisableAfter, 0, maxDisableAfter))
	note(d.Retry.check()...)
	note(d.Breaker.check()...)
	if len(wrong) == 0 {
		return nil
	}
	return fault.New(fault.Unprocessable, "HX-HOOK-020", strings.Join(wrong, "; "), "correct the webhook and send it again")
}

// checkName takes what can stand in a URL and is no id.
func checkName(name string) error {
	if !nameForm.MatchString(name) || strings.Trim(name, ".") == "" {
		return fmt.Errorf("name %.70q is not 1 to %d letters, digits, dots, dashes and underscores", name, maxName)
	}
	if _, err := uuid.Parse(name); err == nil {
		return fmt.Errorf("name %q looks like an id", name)
	}
	return nil
}

func (d Definition) checkFilter() (wrong []error) {
	if len(d.Events) > maxPatterns || len(d.VMs) > maxPatterns || len(d.Labels) > maxLabels {
		return []error{fmt.Errorf("events and vms hold at most %d patterns, labels %d", maxPatterns, maxLabels)}
	}
	for i, p := range d.Events {
		if !kindForm.MatchString(p) {
			wrong = append(wrong, fmt.Errorf("events[%d]: %.70q is no kind of event such as job.completed or job.*", i, p))
		}
	}
	for i, p := range d.VMs {
		if _, err := path.Match(p, "x"); err != nil || p == "" || len(p) > maxPattern {
			wrong = append(wrong, fmt.Errorf("vms[%d]: %.70q is no pattern such as /DC/vm/web-*", i, p))
		}
	}
	for k, v := range d.Labels {
		if k == "" || len(k) > maxPattern || len(v) > maxPattern {
			wrong = append(wrong, fmt.Errorf("labels: %.70q or its value is empty or longer than %d bytes", k, maxPattern))
		}
	}
	return wrong
}

func (d Definition) checkFormat() error {
	if !slices.Contains(Formats(), d.Format) {
		return fmt.Errorf("format %.50q is not one of standard, cloudevents, slack, teams, template", string(d.Format))
	}
	if (d.Format == Template) != (d.Template != "") {
		return errors.New("template goes with format: template, and that needs one")
	}
	if d.Format != Template {
		return nil
	}
	for _, m := range samples() {
		if _, err := execute(d.Template, m); err != nil {
			return errors.New(fault.As(err).Msg)
		}
	}
	return nil
}

// samples are events that a template must be able to tell of.
func samples() []Message {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	j := &job.Job{Spec: job.Spec{Name: `a "name"`, VMPath: "/DC/vm/web\n\"01\"", Provider: "vsphere", Format: "ova", Labels: map[string]string{"a": `"b"`}}}
	failed := event.Event{
		Seq: 7, JobID: "id", Tenant: "t", Kind: event.Failed, Actor: "node:a", Time: at,
		Data: event.Data{State: job.Failed, From: job.Running, Attempt: 3, Node: "a", Error: &job.Failure{Code: "HX-X-1", Message: "\"bad\"\n"}},
	}
	return []Message{
		NewMessage(failed, j),
		NewMessage(event.Event{Seq: 8, Tenant: "t", Kind: event.KeyCreated, Actor: "key:a", Time: at, Data: event.Data{Subject: "key:1", Reason: "name=\"x\""}}, nil),
		TestMessage(Webhook{ID: "id", Tenant: "t", Spec: Definition{Name: "x"}}, "key:a", at),
	}
}

func within(name, text string, least, most time.Duration) error {
	d, err := time.ParseDuration(text)
	if err != nil || d < least || d > most {
		return fmt.Errorf("%s %.50q must be a duration such as 30s, between %s and %s", name, text, least, most)
	}
	return nil
}

func between(name string, n, least, most int) error {
	if n < least || n > most {
		return fmt.Errorf("%s must be between %d and %d", name, least, most)
	}
	return nil
}

func (r *Retry) check() (wrong []error) {
	wrong = append(wrong, between("retry.max_retries", *r.MaxRetries, 0, maxRetries))
	if len(r.RetryOnStatus) > maxPatterns {
		wrong = append(wrong, fmt.Errorf("retry.retry_on_status holds at most %d", maxPatterns))
	}
	for _, status := range r.RetryOnStatus {
		if status < 400 || status > 599 || status == 410 {
			wrong = append(wrong, fmt.Errorf("retry.retry_on_status: %d is not between 400 and 599, or it is 410, which ends it", status))
		}
	}
	if r.InitialDelay == "" {
		if r.MaxDelay != "" || r.BackoffFactor != 0 {
			wrong = append(wrong, errors.New("retry: max_delay and backoff_factor go with initial_delay"))
		}
		return wrong
	}
	wrong = append(wrong, within("retry.initial_delay", r.InitialDelay, 10*time.Millisecond, maxDelay), within("retry.max_delay", r.MaxDelay, 10*time.Millisecond, maxDelay))
	if !(r.BackoffFactor >= 1 && r.BackoffFactor <= maxFactor) {
		wrong = append(wrong, fmt.Errorf("retry.backoff_factor must be between 1 and %d", maxFactor))
	}
	return wrong
}

func (b *BreakerPolicy) check() []error {
	return []error{
		between("circuit_breaker.failure_threshold", b.FailureThreshold, 1, maxThreshold),
		between("circuit_breaker.success_threshold", b.SuccessThreshold, 1, maxThreshold),
		within("circuit_breaker.timeout", b.Timeout, 100*time.Millisecond, maxOpen),
	}
}

// CheckURL judges where to post. It resolves no name: what a name leads to is
// judged at each attempt. Kind Unprocessable; the message does not hold the URL.
func CheckURL(text string) error {
	u, err := url.Parse(text)
	why := ""
	switch {
	case text == "":
		why = "url is missing"
	case err != nil || len(text) > maxURL || u.Host == "" || u.Hostname() == "" || u.Opaque != "":
		why = "url is not of the form https://HOST/PATH"
	case u.Scheme != "https" && u.Scheme != "http":
		why = "url is neither https nor http"
	case u.User != nil:
		why = "url holds a user or a password"
	case u.Fragment != "":
		why = "url holds a fragment"
	}
	if why == "" {
		return nil
	}
	return fault.New(fault.Unprocessable, "HX-HOOK-023", why, "correct the url; http is only for networks of webhooks.allow_private")
}

package outbox

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/egress"
	"github.com/hypersdk/hypersdk/internal/tracing"
	"github.com/hypersdk/hypersdk/internal/webhook"
)

// attempt posts a delivery once. Errors of the network hold the URL and are reduced
// to their class. The body of the answer is not read: nothing depends on it, and it
// may have no end.
func (c *courier) attempt(ctx context.Context, t *Turn, p *webhook.Private, d *webhook.Delivery) webhook.Outcome {
	limited, cancel := context.WithTimeout(ctx, t.Webhook.Spec.AttemptTime())
	defer cancel()
	req, err := http.NewRequestWithContext(limited, http.MethodPost, p.URL, strings.NewReader(d.Payload))
	if err != nil {
		return webhook.Outcome{Class: webhook.Unreachable}
	}
	req.Header.Set("Content-Type", d.ContentType)
	req.Header.Set("User-Agent", c.o.Agent)
	tracing.Inject(tracing.WithParent(limited, d.TraceParent), req.Header)
	p.Sign(req.Header, d.ID, time.Now(), []byte(d.Payload))
	res, err := c.o.Client.Do(req)
	if err != nil {
		return webhook.Outcome{Class: classOf(limited, err)}
	}
	_ = res.Body.Close()
	return judge(res)
}

func classOf(ctx context.Context, err error) webhook.Class {
	switch {
	case errors.Is(err, egress.ErrBlocked):
		return webhook.Blocked
	case ctx.Err() != nil, isTimeout(err):
		return webhook.TimedOut
	}
	return webhook.Unreachable
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[interface {
		error
		Timeout() bool
	}](err)
	return ok && t.Timeout()
}

func judge(res *http.Response) webhook.Outcome {
	o := webhook.Outcome{Status: res.StatusCode}
	switch {
	case res.StatusCode/100 == 2:
		return o
	case res.StatusCode/100 == 3:
		o.Class = webhook.Redirected
	case res.StatusCode == http.StatusGone:
		o.Class = webhook.Gone
	default:
		o.Class = webhook.Refused
		o.RetryAfter = retryAfter(res.Header.Get("Retry-After"), time.Now())
	}
	return o
}

// retryAfter reads both forms of the header; 0 for none.
func retryAfter(text string, now time.Time) time.Duration {
	if seconds, err := strconv.Atoi(strings.TrimSpace(text)); err == nil {
		return time.Duration(min(max(0, seconds), int(webhook.MaxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(max(0, at.Sub(now)), webhook.MaxRetryAfter)
	}
	return 0
}

package webhook

import (
	"math"
	"slices"
	"time"
)

// Class tells in a word how an attempt failed. It is all that is kept of the
// failure: what an endpoint says is not.
type Class string

// The classes. The empty one is a success.
const (
	Blocked     Class = "blocked"     // the address is not one that may be called
	Unreachable Class = "unreachable" // no connection, or it broke off
	TimedOut    Class = "timeout"
	Redirected  Class = "redirect" // 3xx; it is not followed
	Gone        Class = "gone"     // 410: the endpoint wants nothing any more
	Refused     Class = "refused"  // another answer than 2xx
	BadPayload  Class = "template" // the template made no JSON
	Overflow    Class = "overflow" // too many deliveries waited
)

// Outcome is how an attempt ended.
type Outcome struct {
	Status     int           // HTTP status; 0: no answer
	Class      Class         // empty: 2xx
	RetryAfter time.Duration // what the endpoint asked for; 0: nothing
}

// Defaults and bounds of a webhook's values.
const (
	defaultTimeout      = 15 * time.Second
	maxTimeout          = time.Minute
	defaultRetries      = 9
	maxRetries          = 50
	defaultMaxDelay     = time.Hour
	maxDelay            = 7 * 24 * time.Hour
	defaultFactor       = 2
	maxFactor           = 100
	defaultFailures     = 5
	defaultSuccesses    = 2
	maxThreshold        = 1000
	defaultOpen         = time.Minute
	maxOpen             = 24 * time.Hour
	defaultDisableAfter = 120 * time.Hour
	maxDisableAfter     = 90 * 24 * time.Hour
	// MaxRetryAfter bounds how long an endpoint may put us off.
	MaxRetryAfter = 24 * time.Hour
	jitter        = 0.2 // of a delay, by chance
)

// patience are the delays where the user gives none: those of the Standard
// Webhooks specification, 75 hours together.
var patience = []time.Duration{
	5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
	10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
}

var retriedStatus = []int{429, 500, 502, 503, 504}

// Verdict is what follows from an attempt.
type Verdict struct {
	State State         // of the delivery after it
	Delay time.Duration // until the next attempt, if it is Pending
	Alive bool          // the endpoint did its part: it took the event, or found fault with this one only
	Gone  bool          // it wants no more
	Hold  time.Duration // it asked to be left alone for so long
}

// Judge says what follows from the attempt number try (from 1) of a delivery.
// chance is between 0 and 1.
func (d Definition) Judge(try int, once bool, o Outcome, chance float64) Verdict {
	v := Verdict{State: Dead, Gone: o.Class == Gone, Alive: o.Class == "" || aboutMessage(o.Status), Hold: min(o.RetryAfter, MaxRetryAfter)}
	if o.Class == "" {
		return Verdict{State: Delivered, Alive: true}
	}
	r := d.retry()
	if once || !r.mayPass(o) || try > *r.MaxRetries {
		return v
	}
	v.State = Pending
	v.Delay = max(v.Hold, spread(r.delay(try), chance))
	return v
}

// mayPass tells whether another attempt is of use.
func (r *Retry) mayPass(o Outcome) bool {
	switch o.Class {
	case Unreachable, TimedOut, Redirected, Blocked: // servers move, names change, networks are allowed
		return true
	case Refused:
		return slices.Contains(r.RetryOnStatus, o.Status)
	case Gone, BadPayload, Overflow:
	}
	return false
}

// aboutMessage tells whether a status finds fault with one message and not with
// all: then the endpoint is well.
func aboutMessage(status int) bool { return slices.Contains([]int{400, 409, 413, 415, 422}, status) }

// delay is the pause after the attempt number try.
func (r *Retry) delay(try int) time.Duration {
	if r.InitialDelay == "" {
		return patience[min(try, len(patience))-1]
	}
	d := float64(span(r.InitialDelay)) * math.Pow(r.BackoffFactor, float64(try-1))
	return time.Duration(min(d, float64(span(r.MaxDelay))))
}

// spread moves a delay by chance, so that what failed together does not come back
// together.
func spread(d time.Duration, chance float64) time.Duration {
	return time.Duration(float64(d) * (1 - jitter/2 + jitter*chance))
}

// span is the duration of a text that was judged.
func span(text string) time.Duration {
	d, _ := time.ParseDuration(text)
	return d
}

// AttemptTime is how long one attempt may take.
func (d Definition) AttemptTime() time.Duration { return span(d.Timeout) }

// GiveUpAfter is how long an endpoint may do nothing but fail; 0: for ever.
func (d Definition) GiveUpAfter() time.Duration { return span(d.DisableAfter) }

// WithDefaults fills in what the user left out.
func (d Definition) WithDefaults() Definition {
	if len(d.Events) == 0 {
		d.Events = []string{"job.completed", "job.failed", "job.cancelled"}
	}
	if d.Format == "" {
		d.Format = Standard
	}
	if d.Timeout == "" {
		d.Timeout = defaultTimeout.String()
	}
	if d.DisableAfter == "" {
		d.DisableAfter = defaultDisableAfter.String()
	}
	d.Retry, d.Breaker = d.retry(), d.breaker()
	return d
}

// retry returns a copy with the defaults.
func (d Definition) retry() *Retry {
	var r Retry
	if d.Retry != nil {
		r = *d.Retry
	}
	if r.MaxRetries == nil {
		n := defaultRetries
		r.MaxRetries = &n
	}
	if len(r.RetryOnStatus) == 0 {
		r.RetryOnStatus = slices.Clone(retriedStatus)
	}
	if r.InitialDelay != "" {
		if r.MaxDelay == "" {
			r.MaxDelay = defaultMaxDelay.String()
		}
		if r.BackoffFactor == 0 {
			r.BackoffFactor = defaultFactor
		}
	}
	return &r
}

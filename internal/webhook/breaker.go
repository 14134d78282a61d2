package webhook

import "time"

// BreakerState says whether an endpoint is called.
type BreakerState string

// The states of a circuit breaker.
const (
	Closed   BreakerState = "closed"    // it is
	Open     BreakerState = "open"      // it failed too often: it is not
	HalfOpen BreakerState = "half_open" // one attempt at a time finds out
)

// BreakerStates lists the states.
func BreakerStates() []BreakerState { return []BreakerState{Closed, Open, HalfOpen} }

// Health is what the attempts told of an endpoint. It is stored with the webhook,
// so that a restart or another node goes on with it.
type Health struct {
	Breaker      BreakerState `json:"circuit_breaker" enum:"closed,open,half_open"`
	OpenUntil    *time.Time   `json:"open_until,omitempty" doc:"When the open circuit breaker lets one attempt through"`
	HoldUntil    *time.Time   `json:"hold_until,omitempty" doc:"The endpoint asked by Retry-After to be left alone until then"`
	Failures     int          `json:"failures" doc:"Failures in a row"`
	Successes    int          `json:"successes,omitempty" doc:"Successes in a row of the half-open circuit breaker"`
	FailingSince *time.Time   `json:"failing_since,omitempty"`
	LastAttempt  *time.Time   `json:"last_attempt_at,omitempty"`
	LastSuccess  *time.Time   `json:"last_success_at,omitempty"`
	LastStatus   int          `json:"last_status,omitempty"`
	LastError    Class        `json:"last_error,omitempty"`
}

// breaker returns a copy of the policy with the defaults.
func (d Definition) breaker() *BreakerPolicy {
	var b BreakerPolicy
	if d.Breaker != nil {
		b = *d.Breaker
	}
	if b.Enabled == nil {
		yes := true
		b.Enabled = &yes
	}
	if b.FailureThreshold == 0 {
		b.FailureThreshold = defaultFailures
	}
	if b.SuccessThreshold == 0 {
		b.SuccessThreshold = defaultSuccesses
	}
	if b.Timeout == "" {
		b.Timeout = defaultOpen.String()
	}
	return &b
}

// maxInFlight is how many attempts one endpoint has at once.
const maxInFlight = 8

// Room is how many attempts may begin now: 0 while the breaker is open, and never
// more than failures are missing to open it.
func (h *Health) Room(d *Definition) int {
	b := d.breaker()
	switch {
	case !*b.Enabled:
		return maxInFlight
	case h.Breaker == Open:
		return 0
	case h.Breaker == HalfOpen:
		return 1
	}
	return max(1, min(maxInFlight, b.FailureThreshold-h.Failures))
}

// NotBefore is the time before which the endpoint is not called, zero for none.
func (h *Health) NotBefore() (t time.Time) {
	if h.Breaker == Open && h.OpenUntil != nil {
		t = *h.OpenUntil
	}
	if h.HoldUntil != nil && h.HoldUntil.After(t) {
		t = *h.HoldUntil
	}
	return t
}

// Look lets an open breaker whose time is over try.
func (h *Health) Look(now time.Time) {
	if h.HoldUntil != nil && !now.Before(*h.HoldUntil) {
		h.HoldUntil = nil
	}
	if h.Breaker == Open && (h.OpenUntil == nil || !now.Before(*h.OpenUntil)) {
		h.Breaker, h.Successes, h.OpenUntil = HalfOpen, 0, nil
	}
}

// Record takes an attempt into account.
func (h *Health) Record(d *Definition, o Outcome, v Verdict, now time.Time) {
	now = now.UTC()
	h.LastAttempt, h.LastStatus, h.LastError = &now, o.Status, o.Class
	if v.Hold > 0 {
		until := now.Add(v.Hold)
		h.HoldUntil = &until
	}
	if v.Alive {
		h.succeed(d, now)
		return
	}
	h.fail(d, now)
}

func (h *Health) succeed(d *Definition, now time.Time) {
	h.Failures, h.FailingSince, h.LastSuccess = 0, nil, &now
	if h.Breaker != HalfOpen {
		return // a late answer does not close an open breaker
	}
	if h.Successes++; h.Successes >= d.breaker().SuccessThreshold {
		h.Breaker, h.Successes = Closed, 0
	}
}

func (h *Health) fail(d *Definition, now time.Time) {
	h.Failures++
	if h.FailingSince == nil {
		h.FailingSince = &now
	}
	b := d.breaker()
	if !*b.Enabled || h.Breaker == Open || h.Breaker == Closed && h.Failures < b.FailureThreshold {
		return
	}
	until := now.Add(span(b.Timeout))
	h.Breaker, h.Successes, h.OpenUntil = Open, 0, &until
}

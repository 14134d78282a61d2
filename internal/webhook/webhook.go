// Package webhook holds the rules of webhooks: whom an event is for, what is said,
// how it is signed, when it is tried again, and when an endpoint is left alone. It
// decides; it stores and sends nothing.
package webhook

import (
	"time"
)

// Definition is what a user writes (JSON or YAML, snake_case, unknown keys
// refused).
type Definition struct {
	Name        string `json:"name"`
	Description string `json:"description,omitempty"`
	// URL is a secret. What is stored and shown beside the box has only its host.
	URL          string            `json:"url,omitempty" doc:"Where to post. Only its host is shown afterwards; absent in a change: it stays" example:"https://hooks.example.com/T0/x"`
	Events       []string          `json:"events,omitempty" doc:"Kinds, * and ? are wild; default job.completed, job.failed, job.cancelled. webhook.* must be named" nullable:"false"`
	VMs          []string          `json:"vms,omitempty" doc:"Only events of jobs whose vm_path matches one of these (* and ? within a path element); a pattern without / matches the VM's name" nullable:"false"`
	Labels       map[string]string `json:"labels,omitempty" doc:"Only events of jobs with all these labels"`
	Format       Format            `json:"format,omitempty" enum:"standard,cloudevents,slack,teams,template" doc:"Default standard"`
	Template     string            `json:"template,omitempty" doc:"For format template: a Go text/template that makes JSON; no loops, values by json, e.g. {\"text\": {{json .data.job.vm_path}}}"`
	Timeout      string            `json:"timeout,omitempty" doc:"Of one attempt; default 15s, at most 60s"`
	Retry        *Retry            `json:"retry,omitempty"`
	Breaker      *BreakerPolicy    `json:"circuit_breaker,omitempty"`
	DisableAfter string            `json:"disable_after,omitempty" doc:"An endpoint that only failed for so long is disabled; default 120h, 0s: never"`
}

// Retry says when a delivery that failed is tried again.
type Retry struct {
	MaxRetries    *int    `json:"max_retries,omitempty" doc:"After the first attempt; default 9, at most 50"`
	InitialDelay  string  `json:"initial_delay,omitempty" doc:"Before the first retry. Absent: 5s, 5m, 30m, 2h, 5h, 10h, 14h, 20h, 24h"`
	MaxDelay      string  `json:"max_delay,omitempty" doc:"Default 1h; goes with initial_delay"`
	BackoffFactor float64 `json:"backoff_factor,omitempty" doc:"Each delay is so many times the one before; default 2; goes with initial_delay"`
	RetryOnStatus []int   `json:"retry_on_status,omitempty" doc:"Answers after which it is tried again, as it is without an answer; default 429, 500, 502, 503, 504" nullable:"false"`
}

// BreakerPolicy says when an endpoint is left alone.
type BreakerPolicy struct {
	Enabled          *bool  `json:"enabled,omitempty" doc:"Default true"`
	FailureThreshold int    `json:"failure_threshold,omitempty" doc:"Failures in a row that open it; default 5"`
	SuccessThreshold int    `json:"success_threshold,omitempty" doc:"Successes in a row that close it again; default 2"`
	Timeout          string `json:"timeout,omitempty" doc:"How long it is open before one attempt is let through; default 1m"`
}

// Webhook is a stored webhook.
type Webhook struct {
	ID             string       `json:"id"`
	Tenant         string       `json:"tenant"`
	Spec           Definition   `json:"spec"`
	Enabled        bool         `json:"enabled"`
	DisabledReason string       `json:"disabled_reason,omitempty" doc:"Why it is disabled"`
	Secrets        []SecretInfo `json:"secrets" doc:"What signs; the newest first" nullable:"false"`
	Health         Health       `json:"health"`
	Pending        int64        `json:"pending" doc:"Deliveries that wait"`
	Problem        string       `json:"problem,omitempty" doc:"Why nothing can be sent"`
	CreatedAt      time.Time    `json:"created_at"`
	UpdatedAt      time.Time    `json:"updated_at"`

	Box      []byte `json:"-"` // Private, sealed
	KeyID    string `json:"-"` // of the key that sealed it
	Revision int64  `json:"-"` // rises with each change: who writes an older one has lost
}

// SecretInfo tells of a signing secret, without it.
type SecretInfo struct {
	ID        string     `json:"id"`
	CreatedAt time.Time  `json:"created_at"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" doc:"It was rotated and signs until then"`
}

// State is what became of a delivery.
type State string

// The states of a delivery.
const (
	Pending   State = "pending"   // it waits for its first or next attempt
	Delivered State = "delivered" // the endpoint answered 2xx
	Dead      State = "dead"      // it is not tried again by itself
)

// States lists the states of a delivery.
func States() []State { return []State{Pending, Delivered, Dead} }

// Delivery is one event on its way to one endpoint. Its id is the webhook-id of all
// its attempts.
type Delivery struct {
	ID         string     `json:"id"`
	Kind       string     `json:"type" doc:"The kind of the event"`
	Event      int64      `json:"event_seq,omitempty" doc:"The event; absent for a test"`
	JobID      string     `json:"job_id,omitempty"`
	State      State      `json:"status" enum:"pending,delivered,dead" doc:"dead: it is not tried again by itself"`
	Attempts   int        `json:"attempts"`
	NextAt     *time.Time `json:"next_attempt_at,omitempty" doc:"Not before; an open circuit breaker holds it back longer"`
	CreatedAt  time.Time  `json:"created_at"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	LastStatus int        `json:"last_status,omitempty" doc:"HTTP status of the last attempt"`
	LastError  Class      `json:"last_error,omitempty" doc:"Class of the last attempt's error"`
	Payload    string     `json:"payload,omitempty" doc:"What is posted; not in lists"`
	Log        []Attempt  `json:"log,omitempty" doc:"The attempts; not in lists" nullable:"false"`

	Seq         int64  `json:"-"` // ascends with the deliveries
	Tries       int    `json:"-"` // attempts since it was last asked for
	ContentType string `json:"-"`
	TraceParent string `json:"-"` // of the call that the event comes from
	Once        bool   `json:"-"` // a test: not tried again
}

// Attempt is one entry of a delivery's log.
type Attempt struct {
	Number   int       `json:"number"`
	At       time.Time `json:"at"`
	Duration float64   `json:"duration_seconds"`
	Status   int       `json:"status,omitempty" doc:"HTTP status"`
	Error    Class     `json:"error,omitempty" doc:"Class of the error; what the endpoint said is not kept"`
}

// Package event holds the facts that the engine appends to its log, one for
// each change of a job's state, in the transaction that makes the change.
package event

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Kind names what happened.
type Kind string

// The kinds, one for each transition of the state table, one for the birth, and
// those of the steps of a workflow.
const (
	Submitted     Kind = "job.submitted"
	Started       Kind = "job.started"
	Retrying      Kind = "job.retrying"
	Interrupted   Kind = "job.interrupted"
	Waiting       Kind = "job.waiting" // a started job was put back: its host has no free slot
	Cancelling    Kind = "job.cancelling"
	Completed     Kind = "job.completed"
	Failed        Kind = "job.failed"
	Cancelled     Kind = "job.cancelled"
	Paused        Kind = "job.paused"
	Resumed       Kind = "job.resumed"
	Reprioritized Kind = "job.reprioritized"
	Restarted     Kind = "job.restarted" // a failed or cancelled job is to run again

	StepStarted   Kind = "step.started"
	StepRetrying  Kind = "step.retrying"
	StepWaiting   Kind = "step.waiting" // its host has no free slot
	StepCompleted Kind = "step.completed"
	StepFailed    Kind = "step.failed"
	StepSkipped   Kind = "step.skipped"
	StepCancelled Kind = "step.cancelled"
)

// The kinds of events that are about a tenant or a key, and no job.
const (
	TenantCreated  Kind = "tenant.created"
	TenantChanged  Kind = "tenant.changed"
	TenantDraining Kind = "tenant.draining"
	TenantDeleted  Kind = "tenant.deleted"
	KeyCreated     Kind = "key.created"
	KeyRotated     Kind = "key.rotated"
	KeyRevoked     Kind = "key.revoked"
	SessionCreated Kind = "session.created"
	SessionEnded   Kind = "session.ended"
)

// Event is one appended fact. Seq ascends over the events of each job. Pos is its
// place in the log, which ascends in commit order over all of them; it is given
// shortly after the commit.
type Event struct {
	Seq    int64     `json:"seq"`
	Pos    int64     `json:"pos,omitempty" doc:"Place in the log"` // 0: none yet
	JobID  string    `json:"job_id"`                               // empty: it is about no job
	Tenant string    `json:"tenant"`
	Kind   Kind      `json:"kind"`
	Actor  string    `json:"actor"` // a principal's name, or node:<name>
	Time   time.Time `json:"time"`
	Data   Data      `json:"data"`
	Facts  Facts     `json:"-"` // what the audit knows besides
}

// Data is what an event tells besides its kind.
type Data struct {
	Subject   string       `json:"subject,omitempty"` // what it is about, if not a job: tenant:ID, key:ID
	State     job.State    `json:"status,omitempty"`  // the state after the event; empty: it is about no job
	From      job.State    `json:"from,omitempty"`    // the state before
	Attempt   int          `json:"attempt"`           // of the job, or of the step
	Step      string       `json:"step,omitempty"`
	Node      string       `json:"node,omitempty"`
	Reason    string       `json:"reason,omitempty"`
	NotBefore *time.Time   `json:"not_before,omitempty"`
	Error     *job.Failure `json:"error,omitempty"`
	Priority  job.Priority `json:"priority,omitempty"` // the new one, where it changed

	Origin *tenant.Origin `json:"origin,omitempty"` // where the actor called from; nil: it is the daemon itself
}

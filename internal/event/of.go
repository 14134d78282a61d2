package event

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// OfSubmit makes the first event of a job.
func OfSubmit(j job.Job, actor string) Event {
	return Event{
		JobID: j.ID, Tenant: j.Tenant, Kind: Submitted, Actor: actor, Time: j.SubmittedAt,
		Data:  Data{State: j.State, NotBefore: j.NotBefore},
		Facts: factsOfJob(j),
	}
}

// OfChange makes the event of a change: j is the job after it, from its state
// before.
func OfChange(j job.Job, from job.State, c job.Change, at time.Time) Event {
	return Event{
		JobID: j.ID, Tenant: j.Tenant, Kind: kindOf(j.State, c.Trigger), Actor: c.Actor, Time: at.UTC(),
		Data: Data{
			State: j.State, From: from, Attempt: j.Attempt, Node: j.Node,
			Reason: c.Reason, NotBefore: j.NotBefore, Error: c.Error, Priority: c.Priority,
		},
	}
}

func kindOf(to job.State, on job.Trigger) Kind {
	switch on {
	case job.Pause:
		return Paused
	case job.Resume:
		return Resumed
	case job.Reschedule:
		return Reprioritized
	case job.Restart:
		return Restarted
	}
	switch to {
	case job.Running:
		return Started
	case job.Cancelling:
		return Cancelling
	case job.Completed:
		return Completed
	case job.Failed:
		return Failed
	case job.Cancelled:
		return Cancelled
	case job.Pending:
		switch on {
		case job.Retry:
			return Retrying
		case job.Yield:
			return Waiting
		}
	}
	return Interrupted
}

// OfAccount makes the event of a change to a tenant or its keys. what says what
// was set; a key itself must not be in it.
func OfAccount(kind Kind, tenant, actor, subject, what string, at time.Time) Event {
	return Event{Tenant: tenant, Kind: kind, Actor: actor, Time: at.UTC(), Data: Data{Subject: subject, Reason: what}}
}

// OfStep makes the event of a change of a step; j is its job.
func OfStep(j job.Job, s job.StepState, at time.Time) Event {
	return Event{
		JobID: j.ID, Tenant: j.Tenant, Kind: kindOfStep(s), Actor: "node:" + j.Node, Time: at.UTC(),
		Data: Data{State: j.State, Attempt: s.Attempt, Step: s.ID, Node: j.Node, Reason: s.Reason, Error: s.Error},
	}
}

func kindOfStep(s job.StepState) Kind {
	switch s.State {
	case job.StepCompleted:
		return StepCompleted
	case job.StepFailed:
		return StepFailed
	case job.StepSkipped:
		return StepSkipped
	case job.StepCancelled:
		return StepCancelled
	case job.StepPending:
		if s.Error == nil {
			return StepWaiting
		}
		return StepRetrying
	case job.StepRunning:
	}
	return StepStarted
}

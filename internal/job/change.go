package job

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// Change is a trigger with what it brings along. Make one with the functions
// below: each takes what its trigger needs.
type Change struct {
	Trigger   Trigger
	Actor     string // who: a principal's name, or node:<name>
	Node      string // Claim: who runs it
	Reason    string // Cancel, Abandon: why
	Outcome   Outcome
	Error     *Failure
	NotBefore time.Time // Retry: when
	Priority  Priority  // Reschedule: the new one
}

// ClaimBy gives the job to a node.
func ClaimBy(node string) Change {
	return Change{Trigger: Claim, Actor: "node:" + node, Node: node}
}

// CompleteWith ends a job that succeeded.
func CompleteWith(node string, o Outcome) Change {
	return Change{Trigger: Complete, Actor: "node:" + node, Outcome: o}
}

// FailWith ends a job that failed.
func FailWith(node string, err error) Change {
	return Change{Trigger: Fail, Actor: "node:" + node, Error: FailureOf(err)}
}

// RetryAt puts the job back until a time.
func RetryAt(node string, err error, at time.Time) Change {
	return Change{Trigger: Retry, Actor: "node:" + node, Error: FailureOf(err), NotBefore: at}
}

// InterruptBy gives the job back.
func InterruptBy(node, reason string) Change {
	return Change{Trigger: Interrupt, Actor: "node:" + node, Reason: reason}
}

// YieldBy gives the job back until its host has a free slot.
func YieldBy(node, reason string) Change {
	return Change{Trigger: Yield, Actor: "node:" + node, Reason: reason}
}

// SettleBy ends the clean-up of a cancelled job.
func SettleBy(node string) Change {
	return Change{Trigger: Settle, Actor: "node:" + node}
}

// PauseBy holds the job back; why may be empty.
func PauseBy(actor, why string) Change { return Change{Trigger: Pause, Actor: actor, Reason: why} }

// ResumeBy lets a paused job go.
func ResumeBy(actor string) Change { return Change{Trigger: Resume, Actor: actor} }

// PrioritizeBy gives the job another priority.
func PrioritizeBy(actor string, p Priority) Change {
	return Change{Trigger: Reschedule, Actor: actor, Priority: p}
}

// RestartBy runs a job again that failed or was cancelled, and at once one that
// waits for its next attempt.
func RestartBy(actor string) Change { return Change{Trigger: Restart, Actor: actor} }

// CancelBy asks the job to stop: the trigger depends on whether it ever ran.
func (j *Job) CancelBy(actor, reason string) Change {
	c := Change{Trigger: Cancel, Actor: actor, Reason: reason}
	if j.State == Pending && j.Epoch > 0 {
		c.Trigger = Abandon
	}
	return c
}

// Apply moves the job along the state table and tells whether that is worth an
// event: its state changed, or what a user may set about a pending job. On an
// error (kind Conflict) nothing has changed. The epoch rises
// whenever the job changes hands.
func (j *Job) Apply(c Change, now time.Time) (changed bool, err error) {
	from := j.State
	to, err := Transition(from, c.Trigger)
	if err != nil {
		return false, err
	}
	switch c.Trigger {
	case Pause, Resume, Reschedule:
		return j.adjust(c, now), nil
	case Restart:
		return j.restart(now), nil
	case Claim:
		if j.Paused {
			return false, fault.Newf(fault.Conflict, "HX-JOB-045", "resume it", "job %s is paused", j.ID)
		}
	case Cancel:
		if from == to {
			return false, nil
		}
	}
	j.State = to
	j.own(c, from, now)
	switch {
	case to.Final():
		j.finish(c, now)
	case c.Trigger == Retry:
		j.Error, j.NotBefore = c.Error, timeRef(c.NotBefore)
	case c.Trigger == Cancel || c.Trigger == Abandon:
		j.CancelReason, j.NotBefore, j.Paused = c.Reason, nil, false
	}
	return from != to, nil
}

// adjust sets what a user may set about a pending job.
func (j *Job) adjust(c Change, now time.Time) (changed bool) {
	before := *j
	switch c.Trigger {
	case Pause:
		j.Paused = true
	case Resume:
		j.Paused = false
	case Reschedule:
		j.Priority = c.Priority
	}
	if before.Paused && !j.Paused {
		j.ReadyAt = *timeRef(now)
		if j.NotBefore != nil && j.NotBefore.After(now) {
			j.ReadyAt = *j.NotBefore
		}
	}
	return j.Paused != before.Paused || j.Priority != before.Priority
}

// Retrying tells whether the job waits for its next attempt.
func (j *Job) Retrying() bool { return j.State == Pending && j.NotBefore != nil && j.Attempt > 0 }

// restart makes an ended job as it was when it was submitted, but for its epoch:
// the leases of its earlier life stay stale.
func (j *Job) restart(now time.Time) (changed bool) {
	if j.State == Pending {
		changed = j.Retrying()
		if changed {
			j.NotBefore = nil
		}
		return changed
	}
	j.State, j.Attempt, j.ReadyAt = Pending, 0, *timeRef(now)
	j.Node, j.Host, j.CancelReason = "", "", ""
	j.StartedAt, j.FinishedAt, j.NotBefore, j.Progress = nil, nil, nil, nil
	return true
}

// own keeps the books of who has the job.
func (j *Job) own(c Change, from State, now time.Time) {
	switch {
	case c.Trigger == Claim:
		j.Epoch++
		j.Node, j.NotBefore = c.Node, nil
		if from == Pending {
			j.Attempt++
		}
		if j.StartedAt == nil {
			j.StartedAt = timeRef(now)
		}
	case c.Trigger.Releases():
		j.Epoch++
		if !j.State.Final() {
			j.Node = ""
		}
		if (c.Trigger == Interrupt || c.Trigger == Yield) && from == Running {
			j.Attempt--
		}
		if c.Trigger == Yield && j.Attempt == 0 {
			j.StartedAt = nil // it looked up where its VM is, no more
		}
	}
}

func (j *Job) finish(c Change, now time.Time) {
	j.FinishedAt, j.NotBefore, j.Paused = timeRef(now), nil, false
	j.Error, j.Host = nil, ""
	switch j.State {
	case Completed:
		j.Artifacts, j.Receipt = c.Outcome.Artifacts, c.Outcome.Receipt
	case Failed:
		j.Error = c.Error
	case Cancelled:
		if c.Trigger == Cancel {
			j.CancelReason = c.Reason
		}
	}
}

// timeRef returns t as the store keeps it: UTC, in microseconds.
func timeRef(t time.Time) *time.Time {
	t = t.UTC().Truncate(time.Microsecond)
	return &t
}

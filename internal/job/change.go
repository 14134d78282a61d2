package job

import "time"

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

// SettleBy ends the clean-up of a cancelled job.
func SettleBy(node string) Change {
	return Change{Trigger: Settle, Actor: "node:" + node}
}

// CancelBy asks the job to stop: the trigger depends on whether it ever ran.
func (j *Job) CancelBy(actor, reason string) Change {
	c := Change{Trigger: Cancel, Actor: actor, Reason: reason}
	if j.State == Pending && j.Epoch > 0 {
		c.Trigger = Abandon
	}
	return c
}

// Apply moves the job along the state table and tells whether its state
// changed. On an error (kind Conflict) nothing has changed. The epoch rises
// whenever the job changes hands.
func (j *Job) Apply(c Change, now time.Time) (changed bool, err error) {
	from := j.State
	to, err := Transition(from, c.Trigger)
	if err != nil {
		return false, err
	}
	if c.Trigger == Cancel && from == to {
		return false, nil
	}
	j.State = to
	j.own(c, from, now)
	switch {
	case to.Final():
		j.finish(c, now)
	case c.Trigger == Retry:
		j.Error, j.NotBefore = c.Error, timeRef(c.NotBefore)
	case c.Trigger == Cancel || c.Trigger == Abandon:
		j.CancelReason, j.NotBefore = c.Reason, nil
	}
	return from != to, nil
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
		if c.Trigger == Interrupt && from == Running {
			j.Attempt--
		}
	}
}

func (j *Job) finish(c Change, now time.Time) {
	j.FinishedAt, j.NotBefore = timeRef(now), nil
	j.Error = nil
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

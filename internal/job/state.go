package job

import (
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// State of a job.
type State string

// The states: pending → running → completed | failed | cancelled, with
// cancelling between a cancel request on a job that has side effects and the
// moment when they are gone.
const (
	Pending    State = "pending"
	Running    State = "running"
	Cancelling State = "cancelling"
	Completed  State = "completed"
	Failed     State = "failed"
	Cancelled  State = "cancelled"
)

var states = [...]State{Pending, Running, Cancelling, Completed, Failed, Cancelled}

// States lists all states.
func States() []State { return slices.Clone(states[:]) }

// StateNames lists all states for a message.
func StateNames() string { return join(states[:]) }

// Valid tells whether s is a state.
func (s State) Valid() bool { return slices.Contains(states[:], s) }

// Final tells whether nothing follows the state unless somebody restarts the job.
func (s State) Final() bool { return s == Completed || s == Failed || s == Cancelled }

// Trigger is what may move a job to another state.
type Trigger string

// The triggers. A worker owns the job between Claim and one of Complete, Fail,
// Retry, Interrupt, Yield or Settle.
const (
	Claim     Trigger = "claim"     // a worker takes the job
	Complete  Trigger = "complete"  // the run succeeded
	Fail      Trigger = "fail"      // the run failed for good and has cleaned up
	Retry     Trigger = "retry"     // the run, or a clean-up, failed and is to be tried again
	Interrupt Trigger = "interrupt" // the node shut down, or the lease ran out
	Yield     Trigger = "yield"     // its host has no free slot
	Cancel    Trigger = "cancel"    // somebody asks to stop
	Abandon   Trigger = "abandon"   // the same, for a pending job that ran before
	Settle    Trigger = "settle"    // a cancelled job has cleaned up

	Pause      Trigger = "pause"      // somebody holds a pending job back
	Resume     Trigger = "resume"     // and lets it go
	Reschedule Trigger = "reschedule" // somebody gives a pending job another priority
	Restart    Trigger = "restart"    // somebody wants a job that did not succeed to be tried again now
)

var triggers = [...]Trigger{Claim, Complete, Fail, Retry, Interrupt, Yield, Cancel, Abandon, Settle, Pause, Resume, Reschedule, Restart}

// Releases tells whether the worker's right to the job ends with the trigger.
func (t Trigger) Releases() bool {
	switch t {
	case Complete, Fail, Retry, Interrupt, Yield, Settle:
		return true
	}
	return false
}

// rule is one row of the state table.
type rule struct {
	from State
	on   Trigger
	to   State
	why  string // for docs/states.md
}

// rules is the state table. A pair that is not in it is refused.
var rules = [...]rule{
	{Pending, Claim, Running, "A worker has a free slot; the attempt counts."},
	{Pending, Cancel, Cancelled, "It never ran, so there is nothing to clean up."},
	{Pending, Abandon, Cancelling, "An earlier run may have left a snapshot or staged files: a clean-up comes first."},
	{Running, Complete, Completed, "The output is published and proven."},
	{Running, Fail, Failed, "An error that no retry cures, or the last attempt; side effects are gone."},
	{Running, Retry, Pending, "A transient error: again after a pause, from the checkpoint."},
	{Running, Interrupt, Pending, "Shutdown or lost lease: no failure, the attempt does not count, the checkpoint stays. After `max_crashes` lost leases without progress the next run fails."},
	{Running, Yield, Pending, "Its host serves as many exports as it may: no failure, the attempt does not count, it starts when a slot is free."},
	{Running, Cancel, Cancelling, "The run is told to stop and cleans up."},
	{Cancelling, Claim, Cancelling, "The run is gone (crash, shutdown): another worker takes over the clean-up."},
	{Cancelling, Complete, Completed, "The output was published before the run saw the request."},
	{Cancelling, Fail, Cancelled, "The run failed and cleaned up while the request came in."},
	{Cancelling, Retry, Cancelling, "The clean-up failed: again after a pause."},
	{Cancelling, Interrupt, Cancelling, "Shutdown or lost lease during the clean-up: it is done again."},
	{Cancelling, Yield, Cancelling, "The run gave the job back before it saw the request: another worker cleans up."},
	{Cancelling, Settle, Cancelled, "Every side effect is gone."},
	{Cancelling, Cancel, Cancelling, "It was asked before; nothing changes."},
	{Completed, Cancel, Completed, "Too late; nothing changes."},
	{Failed, Cancel, Failed, "Too late; nothing changes."},
	{Cancelled, Cancel, Cancelled, "It is cancelled; nothing changes."},
	{Pending, Pause, Pending, "It keeps its place and is not started until it is resumed."},
	{Pending, Resume, Pending, "It may be started again."},
	{Pending, Reschedule, Pending, "It has another priority; inside of a class the order of submission holds."},
	{Pending, Restart, Pending, "The pause before the next attempt is over; nothing changes for one that does not wait for that."},
	{Failed, Restart, Pending, "Somebody asks for it: the attempts start over, from nothing."},
	{Cancelled, Restart, Pending, "The same; the reason of the cancel stays in its events."},
}

// Transition returns the state that follows. Kind Conflict if the state table
// has no such transition.
func Transition(from State, on Trigger) (State, error) {
	for i := range rules {
		if rules[i].from == from && rules[i].on == on {
			return rules[i].to, nil
		}
	}
	return from, refuse(from, on)
}

// refuse says why a state does not take a trigger, and what the caller can do.
func refuse(from State, on Trigger) error {
	switch fix := "it runs: let it end, or cancel it"; on {
	case Pause, Resume, Reschedule:
		if from.Final() {
			fix = "it has ended; submit it again, or retry it if it failed or was cancelled"
		}
		return fault.Newf(fault.Conflict, "HX-JOB-043", fix, "a job that is %s cannot take %q: only one that is pending can", from, on)
	case Restart:
		switch from {
		case Completed:
			fix = "it succeeded; submit it as a new job"
		case Cancelling:
			fix = "wait until its clean-up has ended"
		}
		return fault.Newf(fault.Conflict, "HX-JOB-044", fix, "a job that is %s cannot be retried: only one that failed or was cancelled can", from)
	}
	return fault.Newf(fault.Conflict, "HX-JOB-040", "look at the job's events",
		"a job that is %s cannot take %q", from, on)
}

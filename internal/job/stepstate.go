package job

import "time"

// StepStatus is the state of one step of a workflow.
type StepStatus string

// The states of a step. The last four are final.
const (
	StepPending   StepStatus = "pending"
	StepRunning   StepStatus = "running"
	StepCompleted StepStatus = "completed"
	StepFailed    StepStatus = "failed"
	StepSkipped   StepStatus = "skipped"   // its condition did not hold
	StepCancelled StepStatus = "cancelled" // the job was cancelled, or ran out of time
)

var stepStatuses = [...]StepStatus{StepPending, StepRunning, StepCompleted, StepFailed, StepSkipped, StepCancelled}

// StepStatusNames lists all states of a step for a message.
func StepStatusNames() string { return join(stepStatuses[:]) }

// Final tells whether nothing follows the state.
func (s StepStatus) Final() bool { return s != StepPending && s != StepRunning }

// StepState is how one step of a workflow is.
type StepState struct {
	ID         string     `json:"id"`
	Type       string     `json:"type"`
	State      StepStatus `json:"status"`
	Attempt    int        `json:"attempt"` // attempts begun, from 1
	StartedAt  *time.Time `json:"started_at,omitempty"`
	FinishedAt *time.Time `json:"finished_at,omitempty"`
	Reason     string     `json:"reason,omitempty"` // why it was skipped, or waits
	Error      *Failure   `json:"error,omitempty"`  // of the last attempt
	Artifacts  []Artifact `json:"artifacts,omitempty"`
}

// Begin starts an attempt.
func (s *StepState) Begin(now time.Time) {
	s.State = StepRunning
	s.Attempt++
	if s.StartedAt == nil {
		s.StartedAt = timeRef(now)
	}
}

// End makes the state final. reason is for a step that did not run.
func (s *StepState) End(state StepStatus, err error, reason string, now time.Time) {
	s.State, s.Reason, s.Error, s.FinishedAt = state, reason, FailureOf(err), timeRef(now)
}

// States returns the states of all steps before anything has run, in the order
// of the plan.
func (p Plan) States() []StepState {
	states := make([]StepState, len(p.Steps))
	for i := range p.Steps {
		states[i] = StepState{ID: p.Steps[i].ID, Type: p.Steps[i].Type, State: StepPending}
	}
	return states
}

package dispatch

import (
	"context"
	"encoding/json"

	"github.com/hypersdk/hypersdk/internal/job"
)

// Steps keep how far the steps of a workflow are, over all its runs.
type Steps interface {
	// Load returns what was saved, by the step's id.
	Load(ctx context.Context) (map[string]StepRecord, error)
	// Save makes the state of a step durable, together with the event that tells
	// of it. pos is the step's place in the plan. receipt (nil: none) goes with a
	// state that is final.
	Save(ctx context.Context, pos int, s job.StepState, receipt json.RawMessage) error
	// SaveToken keeps a token with a step that was saved; it is gone when the job
	// ends. It is durable when it returns.
	SaveToken(ctx context.Context, step string, token []byte) error
}

// StepRecord is what was saved of a step.
type StepRecord struct {
	State   job.StepState
	Receipt json.RawMessage
	Token   []byte
}

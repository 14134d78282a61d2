package job

import "encoding/json"

// Outcome is what a run that succeeded leaves.
type Outcome struct {
	Artifacts []Artifact
	Receipt   json.RawMessage // JSON; nil: none
}

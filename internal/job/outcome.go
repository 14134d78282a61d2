package job

import "encoding/json"

// Outcome is what a run that succeeded leaves.
type Outcome struct {
	Artifacts []Artifact
	Receipt   json.RawMessage // JSON; nil: none
	// For the tenant's usage, over all runs.
	BytesRead        int64 // logical bytes of the disks
	BytesTransferred int64 // read from the source over the wire
}

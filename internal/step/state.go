package step

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// The phases of an export that survive a crash. Each is entered by a durable
// write of the state.
const (
	phaseCopy    = "copying"    // the disks; the snapshot exists
	phaseVerify  = "verifying"  // everything is written and synced; no snapshot any more
	phasePublish = "publishing" // the receipt is made; only the rename is left
)

// state is what a run leaves for the next one (Task.SaveToken).
type state struct {
	Phase    string          `json:"phase"`
	Started  time.Time       `json:"started"`
	Name     string          `json:"name"`     // published name
	Stage    string          `json:"stage"`    // mark of the staging area that the checkpoints are about
	VM       provider.VM     `json:"vm"`       // as frozen
	Snapshot []byte          `json:"snapshot"` // provider.Snapshot.Token
	Disks    []receipt.Disk  `json:"disks"`    // finished ones
	Files    []receipt.File  `json:"files"`    // written ones; SHA256 where known already
	Package  []byte          `json:"package"`  // state of the OVA writer
	Receipt  json.RawMessage `json:"receipt,omitempty"`
	Finished time.Time       `json:"finished"`
}

func (s *state) load(token []byte) error {
	if err := json.Unmarshal(token, s); err != nil {
		return fault.Wrap(err, fault.Corrupt, "HX-EXPORT-004", "the saved state of the job is damaged", "submit the job again")
	}
	return nil
}

// save makes the state durable.
func (r *run) save(ctx context.Context) error {
	b, err := json.Marshal(&r.st)
	if err != nil {
		return fmt.Errorf("state: %w", err)
	}
	return r.t.SaveToken(ctx, b)
}

// disk returns the finished disk, if it is.
func (s *state) disk(key string) (receipt.Disk, bool) {
	for _, d := range s.Disks {
		if d.Key == key {
			return d, true
		}
	}
	return receipt.Disk{}, false
}

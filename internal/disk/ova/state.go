package ova

import (
	"encoding/json"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// stateVersion is raised whenever the layout of an archive changes.
const stateVersion = 1

// state is the saved form of a Writer. Offsets are not part of it: they follow
// from the slot and the sizes of the disks.
type state struct {
	Version int     `json:"version"`
	Slot    int64   `json:"slot"`
	Done    int     `json:"done"`
	Machine Machine `json:"machine"`
}

// State returns what Restore needs. It changes only when a disk is closed;
// store it before the first disk and after each Close.
func (w *Writer) State() ([]byte, error) {
	data, err := json.Marshal(state{Version: stateVersion, Slot: w.slot, Done: w.done, Machine: w.machine})
	if err != nil {
		return nil, fmt.Errorf("save the state of the OVA writer: %w", err)
	}
	return data, nil
}

// Restore goes on with the OVA that a crash left in obj, from a stored State.
// Kind Conflict: the state does not fit this program; start over.
func Restore(obj disk.Object, saved []byte) (*Writer, error) {
	var s state
	if err := json.Unmarshal(saved, &s); err != nil {
		return nil, fault.Wrap(err, fault.Conflict, codeState, "the state of the OVA writer cannot be read", fixStale)
	}
	if s.Version != stateVersion {
		return nil, stale("it is of version %d, not %d", s.Version, stateVersion)
	}
	if s.Slot <= 0 || s.Slot > maxDescriptor || s.Done < 0 || s.Done > len(s.Machine.Disks) {
		return nil, stale("slot %d, %d of %d disks done", s.Slot, s.Done, len(s.Machine.Disks))
	}
	if err := s.Machine.check(); err != nil {
		return nil, err
	}
	w := &Writer{obj: obj, machine: s.Machine, slot: s.Slot, done: s.Done, next: tarBlock + roundUp(s.Slot)}
	for i := range s.Done {
		size := s.Machine.Disks[i].VMDK.Size
		if size < 0 || size > maxFile-w.next {
			return nil, stale("disk %d has %d bytes", i+1, size)
		}
		w.next += tarBlock + roundUp(size)
	}
	return w, nil
}

const fixStale = "start the export over"

func stale(format string, args ...any) error {
	return fault.Newf(fault.Conflict, codeState, fixStale, "the state of the OVA writer cannot be used: "+format, args...)
}

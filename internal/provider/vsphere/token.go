package vsphere

import (
	"encoding/json"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The kinds of ledger entries.
const (
	kindSnapshot = "snapshot"
	kindLease    = "lease"
)

// snapshotRef is the ledger's reference to a snapshot. Name and Nonce find it
// when its MoRef did not get recorded; the nonce is in its description.
type snapshotRef struct {
	VCenter  string `json:"vcenter"`
	VM       string `json:"vm"`
	Name     string `json:"name"`
	Nonce    string `json:"nonce"`
	Snapshot string `json:"snapshot,omitempty"`
}

// leaseRef is the ledger's reference to an NFC lease. Without its MoRef it
// cannot be found; vCenter ends it some minutes after the last progress call.
type leaseRef struct {
	VCenter string `json:"vcenter"`
	VM      string `json:"vm"`
	Lease   string `json:"lease,omitempty"`
}

// token finds a frozen point again. The change ids tell a later incremental
// export what to ask for; Ledger is the entry to settle.
type token struct {
	snapshotRef
	Ledger    string            `json:"ledger"`
	ChangeIDs map[string]string `json:"change_ids,omitempty"` // by disk key
}

// encode marshals a value that cannot fail: strings and maps of strings.
func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// owned tells whether s is the snapshot that r describes.
func (r *snapshotRef) owned(s *types.VirtualMachineSnapshotTree) bool {
	return s.Name == r.Name && s.Description == r.description()
}

// description is what vCenter shows beside the name.
func (r *snapshotRef) description() string {
	return "Temporary, made by hypervisord for an export. It is deleted when the export ends. Id " + r.Nonce
}

// find returns the snapshots of the VM that r describes; normally one.
func (r *snapshotRef) find(vm *mo.VirtualMachine) []types.ManagedObjectReference {
	var found []types.ManagedObjectReference
	for s := range snapshots(vm.Snapshot) {
		if r.owned(s) {
			found = append(found, s.Snapshot)
		}
	}
	return found
}

// parseToken reads the Token of an earlier run. Kind Conflict: it does not
// belong to this vCenter and VM, or the VM was not frozen by a snapshot.
func parseToken(b []byte, vcenter, vm string) (token, error) {
	var t token
	if err := json.Unmarshal(b, &t); err != nil || t.VCenter != vcenter || t.VM != vm || t.Snapshot == "" {
		return token{}, gone("the frozen state belongs to another VM, or could not outlive a restart")
	}
	return t, nil
}

// gone is the error for a frozen point that does not exist any more.
func gone(why string) error {
	return fault.New(fault.Conflict, "HX-VSPHERE-060", why, "the export has to start over from a new snapshot")
}

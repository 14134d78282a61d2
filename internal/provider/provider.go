// Package provider is the port to a hypervisor: find VMs, freeze one at a point
// in time, and read its disks.
package provider

import (
	"context"
	"iter"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// VM is what discovery tells of a virtual machine.
type VM struct {
	Provider   string     `json:"provider"`
	ID         string     `json:"id"` // the provider's handle: vSphere MoRef, e.g. "vm-62"
	Path       string     `json:"path"`
	Name       string     `json:"name"`
	UUID       string     `json:"uuid"`                // vCenter instance UUID
	BIOSUUID   string     `json:"bios_uuid,omitempty"` // SMBIOS UUID
	PowerState string     `json:"power_state"`         // on, off, suspended
	Host       string     `json:"host,omitempty"`
	Datastore  string     `json:"datastore,omitempty"`
	Firmware   string     `json:"firmware,omitempty"` // bios, efi
	SecureBoot bool       `json:"secure_boot,omitempty"`
	GuestID    string     `json:"guest_id,omitempty"`   // e.g. debian12_64Guest
	GuestName  string     `json:"guest_name,omitempty"` // e.g. Debian GNU/Linux 12 (64-bit)
	CPUs       int32      `json:"cpus"`
	MemoryMB   int64      `json:"memory_mb"`
	Hardware   string     `json:"hardware,omitempty"` // e.g. vmx-19
	CBT        bool       `json:"cbt"`                // changed block tracking is on
	Disks      []Disk     `json:"disks"`
	NICs       []NIC      `json:"nics,omitempty"`
	Snapshots  []string   `json:"snapshots,omitempty"`
	Blockers   []Blocker  `json:"blockers,omitempty"`
	Created    *time.Time `json:"created,omitempty"`
}

// Disk is a virtual disk as discovery tells of it.
type Disk struct {
	Key           string `json:"key"` // device key, stable within the VM
	Label         string `json:"label"`
	CapacityBytes int64  `json:"capacity_bytes"`
	UsedBytes     int64  `json:"used_bytes,omitempty"` // 0: unknown
	UUID          string `json:"uuid,omitempty"`
	Datastore     string `json:"datastore,omitempty"`
	Path          string `json:"path,omitempty"`    // "[ds] vm/vm.vmdk"
	Backing       string `json:"backing,omitempty"` // flat, sesparse, sparse, rdm
	Mode          string `json:"mode,omitempty"`    // persistent, independent_persistent, …
	Thin          bool   `json:"thin,omitempty"`
	Controller    string `json:"controller,omitempty"` // lsilogic, lsisas, pvscsi, buslogic, ide, sata, nvme
	Bus           int32  `json:"bus"`                  // controller's bus number
	Unit          int32  `json:"unit"`                 // unit on the controller
	ChangeID      string `json:"change_id,omitempty"`
}

// NIC is a network card.
type NIC struct {
	Label   string `json:"label"`
	Type    string `json:"type"` // vmxnet3, e1000, e1000e, pcnet32
	MAC     string `json:"mac,omitempty"`
	Network string `json:"network"`
}

// Blocker is a reason why an export cannot run, or runs with a loss.
type Blocker struct {
	Code  string `json:"code"`
	Msg   string `json:"message"`
	Fix   string `json:"fix,omitempty"`
	Fatal bool   `json:"fatal"`
}

// The transports of a disk's content.
const (
	TransportAuto  = "auto"
	TransportRange = "range" // parallel Range reads of the datastore file; resumable
	TransportNFC   = "nfc"   // one stream of an NFC lease; restarts from its begin
)

// OpenOptions say how to freeze a VM.
type OpenOptions struct {
	JobID        string
	PowerOff     bool   // allowed to power a running VM off instead of a snapshot
	Transport    string // "" or auto, range, nfc
	ExcludeDisks []string
	Ledger       Ledger
	// Limit is called for all that is read of the VM's files, with the bytes that
	// came over the wire; reading goes on when it returns nil. nil: no limit.
	Limit func(ctx context.Context, n int) error
	// Resume is the Token of an earlier Snapshot of the same job. Open then
	// returns the same frozen content, or an error of kind Conflict if that is
	// gone: start over with Resume nil.
	Resume []byte
}

// Ledger records remote objects before they are made, so that a janitor can
// settle what a crash left. Every call is durable when it returns.
type Ledger interface {
	// Intend records that a remote object is about to be made. ref is the
	// provider's own JSON, enough to find the object again (by a unique name).
	Intend(ctx context.Context, kind, ref string) (id string, err error)
	// Amend replaces ref, e.g. once the object's MoRef is known.
	Amend(ctx context.Context, id, ref string) error
	// Settle records that the object is gone.
	Settle(ctx context.Context, id string) error
}

// LedgerEntry is one recorded remote object.
type LedgerEntry struct {
	ID       string
	JobID    string
	Provider string
	Kind     string // snapshot, lease
	Ref      string
}

// Provider is a hypervisor.
type Provider interface {
	// VMs yields the VMs that match any of the patterns (inventory path with
	// globs, name, instance UUID or MoRef); none given: all.
	VMs(ctx context.Context, patterns ...string) iter.Seq2[VM, error]
	// Find returns the one VM that ref names. Several: kind Unprocessable, and
	// the message lists the candidates' paths. None: NotFound.
	Find(ctx context.Context, ref string) (VM, error)
	// Open freezes the VM.
	Open(ctx context.Context, vm VM, o OpenOptions) (Snapshot, error)
	// Settle removes a remote object that a crash left. It is idempotent; an
	// object that is gone already is settled.
	Settle(ctx context.Context, e LedgerEntry) error
	// Ping tells whether the provider answers.
	Ping(ctx context.Context) error
	Close(ctx context.Context) error
}

// Snapshot is a VM frozen at one point in time: all disks of one instant.
type Snapshot interface {
	// VM describes the VM as frozen; Disks are in boot (controller) order and
	// without the excluded ones.
	VM() VM
	// Token lets Open find this frozen point again after a crash.
	Token() []byte
	// Disk opens one disk by its key.
	Disk(ctx context.Context, key string) (disk.Source, error)
	// Files are the small files that belong to the VM (nvram), read whole.
	Files(ctx context.Context) ([]File, error)
	// Close removes every remote object and settles the ledger. It is
	// idempotent and works with a context of its own if ctx is done: give it a
	// live one with a deadline.
	Close(ctx context.Context) error
	// Detach frees local resources (connections, keep-alive) but leaves remote
	// objects for a later Open with Resume: a shutdown, not an end.
	Detach(ctx context.Context) error
}

// File is a small file of the VM.
type File struct {
	Name string
	Data []byte
}

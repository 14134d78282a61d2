package client

import "time"

// VM is a virtual machine in the inventory.
type VM struct {
	Provider   string     `json:"provider"`
	ID         string     `json:"id"` // the provider's own, e.g. "vm-62"
	Path       string     `json:"path"`
	Name       string     `json:"name"`
	UUID       string     `json:"uuid"`
	BIOSUUID   string     `json:"bios_uuid,omitempty"`
	PowerState string     `json:"power_state"` // on, off, suspended
	Host       string     `json:"host,omitempty"`
	Datastore  string     `json:"datastore,omitempty"`
	Firmware   string     `json:"firmware,omitempty"` // bios, efi
	SecureBoot bool       `json:"secure_boot,omitempty"`
	GuestID    string     `json:"guest_id,omitempty"`
	GuestName  string     `json:"guest_name,omitempty"`
	CPUs       int32      `json:"cpus"`
	MemoryMB   int64      `json:"memory_mb"`
	Hardware   string     `json:"hardware,omitempty"`
	CBT        bool       `json:"cbt"`
	Disks      []Disk     `json:"disks"`
	NICs       []NIC      `json:"nics,omitempty"`
	Snapshots  []string   `json:"snapshots,omitempty"`
	Blockers   []Blocker  `json:"blockers,omitempty"`
	Created    *time.Time `json:"created,omitempty"`
}

// Disk is a disk of a VM.
type Disk struct {
	Key           string `json:"key"`
	Label         string `json:"label"`
	CapacityBytes int64  `json:"capacity_bytes"`
	UsedBytes     int64  `json:"used_bytes,omitempty"` // 0: unknown
	UUID          string `json:"uuid,omitempty"`
	Datastore     string `json:"datastore,omitempty"`
	Path          string `json:"path,omitempty"`
	Backing       string `json:"backing,omitempty"`
	Mode          string `json:"mode,omitempty"`
	Thin          bool   `json:"thin,omitempty"`
	Controller    string `json:"controller,omitempty"`
	Bus           int32  `json:"bus"`
	Unit          int32  `json:"unit"`
	ChangeID      string `json:"change_id,omitempty"`
}

// NIC is a network card of a VM.
type NIC struct {
	Label   string `json:"label"`
	Type    string `json:"type"`
	MAC     string `json:"mac,omitempty"`
	Network string `json:"network"`
}

// Blocker is why a VM cannot be exported, or loses something by it.
type Blocker struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
	Fatal   bool   `json:"fatal"`
}

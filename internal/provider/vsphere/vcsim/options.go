package vcsim

import (
	"cmp"
	"io"
	"time"
)

// Options configure a simulated vCenter. The zero value is a vCenter on a free
// loopback port with the default inventory in a temporary directory.
type Options struct {
	// Listen is the address of the vCenter, default "127.0.0.1:0".
	Listen string
	// HostListen is the address of the data plane that stands for all ESXi
	// hosts, default "127.0.0.1:0".
	HostListen string
	// Dir holds the disks and the cache of encoded streams. Default is a
	// temporary directory, which Close removes; a given one must not hold
	// those of another simulator, and stays.
	Dir string
	// Username and Password are the only valid login, by default
	// DefaultUsername and DefaultPassword.
	Username, Password string
	// VMs is the inventory, by default DefaultInventory().
	VMs []VM
	// Filler adds that many small powered-off machines in /DC/vm/Filler.
	Filler int
	// LeaseTimeout is how long an NFC lease lives without a progress call,
	// default 300 s, as ESXi has it. It is announced in whole seconds.
	LeaseTimeout time.Duration
	// SessionIdle ends a session that made no request for so long, default
	// 30 minutes, as vCenter has it.
	SessionIdle time.Duration
	// StreamsPerHost is how many NFC streams one host serves at once, default
	// DefaultStreamsPerHost. One more is answered with 503.
	StreamsPerHost int
	// WildcardHost makes the device URLs of leases say "*" for the host, as an
	// ESXi host does that cannot name itself: the client must put in the
	// address that it connected to.
	WildcardHost bool
}

// The defaults of Options.
const (
	DefaultUsername       = "administrator@vsphere.local"
	DefaultPassword       = "vc:sim/P@ss 1" //nolint:gosec // G101: it opens nothing but a simulator
	DefaultStreamsPerHost = 16
	defaultLeaseTimeout   = 300 * time.Second
	defaultSessionIdle    = 30 * time.Minute
)

func (o Options) withDefaults() Options {
	o.Listen = cmp.Or(o.Listen, "127.0.0.1:0")
	o.HostListen = cmp.Or(o.HostListen, "127.0.0.1:0")
	o.Username = cmp.Or(o.Username, DefaultUsername)
	o.Password = cmp.Or(o.Password, DefaultPassword)
	o.LeaseTimeout = cmp.Or(o.LeaseTimeout, defaultLeaseTimeout)
	o.SessionIdle = cmp.Or(o.SessionIdle, defaultSessionIdle)
	o.StreamsPerHost = cmp.Or(o.StreamsPerHost, DefaultStreamsPerHost)
	if o.VMs == nil {
		o.VMs = DefaultInventory()
	}
	return o
}

// VM describes a virtual machine to put into the inventory.
type VM struct {
	// Path is the inventory path below /DC/vm; folders are made. The name may
	// hold "/" and "%" in vSphere's form: "Odd/app%2fdb".
	Path string
	// On tells whether it is powered on.
	On bool
	// EFI makes it an EFI machine with secure boot and a larger nvram file.
	EFI bool
	// GuestID defaults to debian12_64Guest.
	GuestID string
	// CPUs and MemoryMB default to 1 and 512.
	CPUs     int32
	MemoryMB int64
	// Host and Datastore are names of the inventory, by default esxi-01 and
	// vmfs-01.
	Host, Datastore string
	// CBT turns changed block tracking on.
	CBT bool
	// Disks in the order of their device keys: 2000, 2001, …
	Disks []Disk
}

// Disk describes a virtual disk.
type Disk struct {
	// Size is the capacity in bytes, a multiple of 512.
	Size int64
	// Fill writes the content; nil leaves the disk empty. A bootable guest
	// returns the line that it prints on its serial console when it finds
	// itself unharmed; others return "".
	Fill func(w io.WriterAt, size int64) (marker string, err error)
	// Raw is a raw image to copy instead, of Size bytes or, with Size 0, of
	// any length.
	Raw string
	// Controller is pvscsi (default), lsilogic, sata or nvme.
	Controller string
	// Mode is persistent (default), independent_persistent or
	// independent_nonpersistent. Snapshots leave independent disks out.
	Mode string
	// RDM makes it a raw device mapping in physical mode: it has no content
	// here and no way to export it.
	RDM bool
	// Thick makes it thick provisioned; the default is thin.
	Thick bool
}

// Package ova writes and reads OVF packages (DSP0243 1.x): the descriptor with
// the virtual hardware, the SHA-256 manifest, and the tar archive (OVA) that
// holds them together with the disks. What it writes has the form of VMware's
// own exports, kept to what VirtualBox, Proxmox and virt-v2v read, too; what it
// reads is taken as hostile.
package ova

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxMembers bounds the files of a package, descriptor and manifest included.
const maxMembers = 64

// Machine is what a descriptor tells of a virtual machine. The descriptor is a
// pure function of it: the same Machine gives the same bytes.
type Machine struct {
	// Stem begins the name of every file of the package; see Stem.
	Stem      string    `json:"stem"`
	Name      string    `json:"name"` // any text; what XML cannot hold becomes U+FFFD
	GuestID   string    `json:"guest_id"`
	GuestName string    `json:"guest_name"`
	Hardware  string    `json:"hardware"` // vmx-NN; empty: vmx-13 (ESXi 6.5), the first with NVMe
	CPUs      int32     `json:"cpus"`
	Cores     int32     `json:"cores"` // cores per socket; 0, or no divisor of CPUs: the importer decides
	MemoryMB  int64     `json:"memory_mb"`
	Firmware  string    `json:"firmware"` // bios, efi; empty: bios
	Secure    bool      `json:"secure"`   // EFI secure boot
	Disks     []Disk    `json:"disks"`    // in boot order
	NICs      []NIC     `json:"nics"`
	Bare      bool      `json:"bare,omitempty"` // the package has no manifest
	Time      time.Time `json:"time"`           // when the VM was frozen: the mtime of all members
}

// Disk is a virtual disk and the file that holds it.
type Disk struct {
	Label      string  `json:"label"`
	Controller string  `json:"controller"` // lsilogic, lsisas, pvscsi, buslogic, ide, sata, nvme
	Bus        int32   `json:"bus"`        // bus number of the controller
	Unit       int32   `json:"unit"`       // unit on the controller
	Capacity   int64   `json:"capacity"`   // virtual size in bytes
	VMDK       Content `json:"vmdk"`       // known once the file is written
}

// Content is what is known of a disk's streamOptimized VMDK once it is written.
type Content struct {
	Size      int64  `json:"size"`      // of the file, in bytes
	Populated int64  `json:"populated"` // virtual bytes that hold data; 0: not said
	SHA256    string `json:"sha256"`    // of the file, hex
}

// known tells whether the file was written.
func (c *Content) known() bool {
	return c.Size >= 0 && c.Populated >= 0 && len(c.SHA256) == hex.EncodedLen(sha256.Size)
}

// NIC is a network card.
type NIC struct {
	Label   string `json:"label"`
	Type    string `json:"type"`    // vmxnet3, vmxnet2, e1000, e1000e, pcnet32; anything else becomes E1000
	Network string `json:"network"` // empty: "VM Network"
	// MAC is normally left empty: the copy gets an address of its own, so that
	// it can run beside the original.
	MAC string `json:"mac"`
}

// File is a file of a package.
type File struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// maxStem keeps every file name below the 100 bytes of a USTAR name: readers
// (virt-v2v among them) take the block after a member's header as its data, so
// a long-name extension is not an option.
const maxStem = 64

// Stem makes the stem of a package's file names from a VM's name: ASCII letters,
// digits, '-', '_' and '.' stay, each run of anything else becomes one '-'. The
// result is never empty, hidden or longer than 64 bytes, needs no escaping in
// XML, in a URL or in a manifest line, and Stem(Stem(x)) == Stem(x).
func Stem(name string) string {
	var b strings.Builder
	for _, r := range name {
		if !plainRune(r) {
			r = '-'
		}
		if r == '-' && strings.HasSuffix(b.String(), "-") {
			continue
		}
		b.WriteRune(r)
		if b.Len() == maxStem {
			break
		}
	}
	if s := strings.Trim(b.String(), "-."); s != "" {
		return s
	}
	return "vm"
}

func plainRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r == '-' || r == '_' || r == '.'
}

// DescriptorFile is the name of the descriptor.
func (m *Machine) DescriptorFile() string { return m.Stem + ".ovf" }

// ManifestFile is the name of the manifest.
func (m *Machine) ManifestFile() string { return m.Stem + ".mf" }

// NVRAMFile is the name of the firmware's variable store.
func (m *Machine) NVRAMFile() string { return m.Stem + ".nvram" }

// DiskFile is the name of disk i, counted from 0.
func (m *Machine) DiskFile(i int) string { return fmt.Sprintf("%s-disk%d.vmdk", m.Stem, i+1) }

// files lists the files that the descriptor refers to, in the order of its
// References, which is the order in the package.
func (m *Machine) files(nvram *File) []File {
	files := make([]File, 0, len(m.Disks)+1)
	for i := range m.Disks {
		c := &m.Disks[i].VMDK
		files = append(files, File{Name: m.DiskFile(i), Size: c.Size, SHA256: c.SHA256})
	}
	if nvram != nil {
		files = append(files, *nvram)
	}
	return files
}

// clone copies the machine, so that the caller's slices stay its own.
func (m *Machine) clone() Machine {
	c := *m
	c.Disks = slices.Clone(m.Disks)
	c.NICs = slices.Clone(m.NICs)
	return c
}

// check refuses what a descriptor cannot hold. Kind Unprocessable.
func (m *Machine) check() error {
	switch {
	case Stem(m.Stem) != m.Stem:
		return unfit("the stem %q of the file names is not plain", m.Stem)
	case m.Name == "":
		return unfit("the VM has no name")
	case m.CPUs < 1 || m.MemoryMB < 1:
		return unfit("a VM with %d CPUs and %d MiB of memory cannot be described", m.CPUs, m.MemoryMB)
	case m.Firmware != "" && m.Firmware != firmwareBIOS && m.Firmware != firmwareEFI:
		return unfit("the firmware %q is neither bios nor efi", m.Firmware)
	case len(m.Disks) > maxMembers-3:
		return unfit("%d disks do not fit into a package of %d files", len(m.Disks), maxMembers)
	}
	return m.checkDisks()
}

func (m *Machine) checkDisks() error {
	type place struct {
		family    *family
		bus, unit int32
	}
	taken := map[place]bool{}
	types := map[place]string{} // what sits on a bus; unit is not set
	for i := range m.Disks {
		d := &m.Disks[i]
		model, known := controllers[d.Controller]
		if !known {
			return unfit("disk %d: OVF has no name for a controller of type %q", i+1, d.Controller)
		}
		if d.Bus < 0 || d.Unit < 0 || d.Capacity <= 0 || d.Capacity%512 != 0 {
			return unfit("disk %d: bus %d, unit %d, capacity %d bytes", i+1, d.Bus, d.Unit, d.Capacity)
		}
		bus := place{model.family, d.Bus, 0}
		if t, used := types[bus]; used && t != d.Controller {
			return unfit("disk %d: bus %d is both %s and %s", i+1, d.Bus, t, d.Controller)
		}
		types[bus] = d.Controller
		unit := place{model.family, d.Bus, d.Unit}
		if taken[unit] {
			return unfit("disk %d: unit %d of %s %d is taken by another disk", i+1, d.Unit, d.Controller, d.Bus)
		}
		taken[unit] = true
	}
	return nil
}

func unfit(format string, args ...any) error {
	return fault.Newf(fault.Unprocessable, codeMachine,
		"export the disks alone (format vmdk, qcow2 or raw)", "no OVF descriptor can be made: "+format, args...)
}

package ova

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// The namespaces of the descriptor: OVF 1.x, which every reader accepts.
const (
	nsOVF  = "http://schemas.dmtf.org/ovf/envelope/1"
	nsOVF2 = "http://schemas.dmtf.org/ovf/envelope/2"
	nsCIM  = "http://schemas.dmtf.org/wbem/wscim/1/common"
	nsRASD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData"
	nsVSSD = "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData"
	nsVMW  = "http://www.vmware.com/schema/ovf"

	formatStream = "http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized"
)

// Describe makes the two small files of an OVF folder: the descriptor
// (DescriptorFile) and the manifest (ManifestFile) over it and over the files
// that it refers to. Every Disk's VMDK must be known. nvram is the content of
// NVRAMFile; nil if there is none. Kind Unprocessable: see Machine.
func Describe(m *Machine, nvram []byte) (descriptor, manifest []byte, err error) {
	if err := m.check(); err != nil {
		return nil, nil, err
	}
	for i := range m.Disks {
		if !m.Disks[i].VMDK.known() {
			return nil, nil, misuse("disk %d is described before it is written", i+1)
		}
	}
	nv := m.nvram(nvram)
	descriptor = m.descriptor(nv)
	return descriptor, formatManifest(m.packageFiles(descriptor, nv)), nil
}

// nvram makes the File of the variable store, nil for nil.
func (m *Machine) nvram(data []byte) *File {
	if data == nil {
		return nil
	}
	f := fileOf(m.NVRAMFile(), data)
	return &f
}

// packageFiles lists what the manifest covers: the descriptor and the files
// that it refers to, in package order.
func (m *Machine) packageFiles(descriptor []byte, nvram *File) []File {
	return append([]File{fileOf(m.DescriptorFile(), descriptor)}, m.files(nvram)...)
}

func fileOf(name string, data []byte) File {
	sum := sha256.Sum256(data)
	return File{Name: name, Size: int64(len(data)), SHA256: hex.EncodeToString(sum[:])}
}

// descriptor renders the envelope: References, DiskSection, NetworkSection,
// VirtualSystem (DSP0243 §7, §8, §9).
func (m *Machine) descriptor(nvram *File) []byte {
	d := &xmlDoc{}
	d.buf.WriteString("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
	d.open("Envelope", "xmlns", nsOVF, "xmlns:cim", nsCIM, "xmlns:ovf", nsOVF,
		"xmlns:rasd", nsRASD, "xmlns:vmw", nsVMW, "xmlns:vssd", nsVSSD)
	m.writeReferences(d, nvram)
	m.writeDisks(d)
	m.writeNetworks(d)
	m.writeSystem(d, nvram)
	d.done()
	return d.buf.Bytes()
}

func (m *Machine) writeReferences(d *xmlDoc, nvram *File) {
	d.open("References")
	for i, f := range m.files(nvram) {
		d.empty("File", "ovf:href", f.Name, "ovf:id", fileID(i), "ovf:size", strconv.FormatInt(f.Size, 10))
	}
	d.done()
}

func fileID(i int) string { return fmt.Sprintf("file%d", i+1) }
func diskID(i int) string { return fmt.Sprintf("vmdisk%d", i+1) }

func (m *Machine) writeDisks(d *xmlDoc) {
	if len(m.Disks) == 0 {
		return
	}
	d.open("DiskSection")
	d.leaf("Info", "Virtual disk information")
	for i := range m.Disks {
		disk := &m.Disks[i]
		attrs := []string{
			"ovf:capacity", strconv.FormatInt(disk.Capacity, 10),
			"ovf:capacityAllocationUnits", "byte",
			"ovf:diskId", diskID(i),
			"ovf:fileRef", fileID(i),
			"ovf:format", formatStream,
		}
		if p := disk.VMDK.Populated; p > 0 {
			attrs = append(attrs, "ovf:populatedSize", strconv.FormatInt(p, 10))
		}
		d.empty("Disk", attrs...)
	}
	d.done()
}

func (m *Machine) writeNetworks(d *xmlDoc) {
	if len(m.NICs) == 0 {
		return
	}
	d.open("NetworkSection")
	d.leaf("Info", "The list of logical networks")
	seen := map[string]bool{}
	for i := range m.NICs {
		name := m.NICs[i].network()
		if seen[name] {
			continue
		}
		seen[name] = true
		d.open("Network", "ovf:name", name)
		d.leaf("Description", "The "+name+" network")
		d.done()
	}
	d.done()
}

func (m *Machine) writeSystem(d *xmlDoc, nvram *File) {
	d.open("VirtualSystem", "ovf:id", m.Name)
	d.leaf("Info", "A virtual machine")
	d.leaf("Name", m.Name)
	attrs := []string{"ovf:id", strconv.Itoa(guestOS(m.GuestID))}
	if m.GuestID != "" {
		attrs = append(attrs, "vmw:osType", m.GuestID)
	}
	d.open("OperatingSystemSection", attrs...)
	d.leaf("Info", "The kind of installed guest operating system")
	if m.GuestName != "" {
		d.leaf("Description", m.GuestName)
	}
	d.done()
	m.writeHardware(d, nvram)
	d.done()
}

// slotSize is the room that the descriptor needs whatever the files turn out
// to be: only their sizes are unknown before they are written.
func (m *Machine) slotSize() int64 {
	worst := m.clone()
	for i := range worst.Disks {
		worst.Disks[i].VMDK = Content{Size: math.MaxInt64, Populated: math.MaxInt64}
	}
	return int64(len(worst.descriptor(&File{Name: m.NVRAMFile(), Size: math.MaxInt64})))
}

// pad fills the descriptor up to size with white space, which XML allows after
// the root element, and ends it with a newline.
func pad(descriptor []byte, size int64) []byte {
	room := size - int64(len(descriptor))
	if room <= 0 {
		return descriptor
	}
	out := slices.Concat(descriptor, bytes.Repeat([]byte{' '}, int(room)))
	out[len(out)-1] = '\n'
	return out
}

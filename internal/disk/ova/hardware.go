package ova

import (
	"fmt"
	"strconv"
	"strings"
)

const (
	firmwareBIOS    = "bios"
	firmwareEFI     = "efi"
	defaultHardware = "vmx-13"
	defaultNetwork  = "VM Network"
)

// The CIM resource types (CIM_ResourceAllocationSettingData.ResourceType).
const (
	typeCPU          = 3
	typeMemory       = 4
	typeIDE          = 5
	typeSCSI         = 6
	typeEthernet     = 10
	typeDisk         = 17
	typeOtherStorage = 20 // SATA and NVMe
)

// family is a kind of bus: bus numbers are counted within it.
type family struct {
	name         string
	resourceType int
}

// controller is a model of a family, with the name that vSphere gives it.
type controller struct {
	family  *family
	subType string
}

var (
	ide  = &family{"IDE", typeIDE}
	scsi = &family{"SCSI", typeSCSI}
	sata = &family{"SATA", typeOtherStorage}
	nvme = &family{"NVMe", typeOtherStorage}
)

// controllers maps provider.Disk.Controller.
var controllers = map[string]controller{
	"ide":      {ide, ""},
	"lsilogic": {scsi, "lsilogic"},
	"lsisas":   {scsi, "lsilogicsas"},
	"pvscsi":   {scsi, "VirtualSCSI"},
	"buslogic": {scsi, "buslogic"},
	"sata":     {sata, "vmware.sata.ahci"},
	"nvme":     {nvme, "vmware.nvme.controller"},
}

// adapters maps provider.NIC.Type.
var adapters = map[string]string{
	"vmxnet3": "VmxNet3",
	"vmxnet2": "VmxNet2",
	"e1000":   "E1000",
	"e1000e":  "E1000e",
	"pcnet32": "PCNet32",
}

func (n *NIC) network() string {
	if n.Network == "" {
		return defaultNetwork
	}
	return n.Network
}

// adapter is the model; an unknown one becomes E1000, which every guest and
// every importer knows.
func (n *NIC) adapter() string {
	if t, ok := adapters[strings.ToLower(n.Type)]; ok {
		return t
	}
	return "E1000"
}

// hardware writes the items of a VirtualHardwareSection in the order of their
// InstanceIDs: CPU, memory, controllers, disks in boot order, network cards.
// Within an item the elements are in the alphabetical order that the CIM schema
// demands.
type hardware struct {
	doc  *xmlDoc
	next int // InstanceID; 0 is the system's
}

func (m *Machine) writeHardware(d *xmlDoc, nvram *File) {
	d.open("VirtualHardwareSection")
	d.leaf("Info", "Virtual hardware requirements")
	m.writeFamily(d)
	h := &hardware{doc: d, next: 1}
	h.cpu(m.CPUs, m.Cores)
	h.memory(m.MemoryMB)
	parents := h.controllers(m.Disks)
	for i := range m.Disks {
		h.disk(i, &m.Disks[i], parents)
	}
	for i := range m.NICs {
		h.nic(i, &m.NICs[i])
	}
	m.writeConfig(d, nvram)
	d.done()
}

func (m *Machine) writeFamily(d *xmlDoc) {
	version := m.Hardware
	if version == "" {
		version = defaultHardware
	}
	d.open("System")
	d.leaf("vssd:ElementName", "Virtual Hardware Family")
	d.leaf("vssd:InstanceID", "0")
	d.leaf("vssd:VirtualSystemIdentifier", m.Name)
	d.leaf("vssd:VirtualSystemType", version)
	d.done()
}

// writeConfig writes what only vSphere knows; others may skip it.
func (m *Machine) writeConfig(d *xmlDoc, nvram *File) {
	config := func(element, key, value string) {
		d.empty(element, "ovf:required", "false", "vmw:key", key, "vmw:value", value)
	}
	if m.Firmware == firmwareEFI {
		config("vmw:Config", "bootOptions.efiSecureBootEnabled", strconv.FormatBool(m.Secure))
		config("vmw:Config", "firmware", firmwareEFI)
	} else {
		config("vmw:Config", "firmware", firmwareBIOS)
	}
	if nvram != nil {
		config("vmw:ExtraConfig", "nvram", "ovf:/file/"+fileID(len(m.Disks)))
	}
}

// id takes the next InstanceID.
func (h *hardware) id() string {
	s := strconv.Itoa(h.next)
	h.next++
	return s
}

func (h *hardware) cpu(count, cores int32) {
	h.doc.open("Item")
	h.doc.leaf("rasd:AllocationUnits", "hertz * 10^6")
	h.doc.leaf("rasd:Description", "Number of Virtual CPUs")
	h.doc.leaf("rasd:ElementName", fmt.Sprintf("%d virtual CPU(s)", count))
	h.doc.leaf("rasd:InstanceID", h.id())
	h.doc.leaf("rasd:ResourceType", strconv.Itoa(typeCPU))
	h.doc.leaf("rasd:VirtualQuantity", strconv.Itoa(int(count)))
	if cores > 0 && count%cores == 0 {
		h.doc.leaf("vmw:CoresPerSocket", strconv.Itoa(int(cores)), "ovf:required", "false")
	}
	h.doc.done()
}

func (h *hardware) memory(megabytes int64) {
	h.doc.open("Item")
	h.doc.leaf("rasd:AllocationUnits", "byte * 2^20")
	h.doc.leaf("rasd:Description", "Memory Size")
	h.doc.leaf("rasd:ElementName", fmt.Sprintf("%dMB of memory", megabytes))
	h.doc.leaf("rasd:InstanceID", h.id())
	h.doc.leaf("rasd:ResourceType", strconv.Itoa(typeMemory))
	h.doc.leaf("rasd:VirtualQuantity", strconv.FormatInt(megabytes, 10))
	h.doc.done()
}

// slot is a controller of the machine.
type slot struct {
	family *family
	bus    int32
}

// controllers writes each controller that a disk hangs on, in the order of
// first use, and returns their InstanceIDs.
func (h *hardware) controllers(disks []Disk) map[slot]string {
	ids := map[slot]string{}
	for i := range disks {
		model := controllers[disks[i].Controller]
		at := slot{model.family, disks[i].Bus}
		if _, written := ids[at]; written {
			continue
		}
		ids[at] = h.id()
		h.doc.open("Item")
		h.doc.leaf("rasd:Address", strconv.Itoa(int(at.bus)))
		h.doc.leaf("rasd:Description", model.family.name+" Controller")
		h.doc.leaf("rasd:ElementName", fmt.Sprintf("%s Controller %d", model.family.name, at.bus))
		h.doc.leaf("rasd:InstanceID", ids[at])
		if model.subType != "" {
			h.doc.leaf("rasd:ResourceSubType", model.subType)
		}
		h.doc.leaf("rasd:ResourceType", strconv.Itoa(model.family.resourceType))
		h.doc.done()
	}
	return ids
}

func (h *hardware) disk(i int, d *Disk, parents map[slot]string) {
	h.doc.open("Item")
	h.doc.leaf("rasd:AddressOnParent", strconv.Itoa(int(d.Unit)))
	h.doc.leaf("rasd:ElementName", label(d.Label, "Hard disk", i))
	h.doc.leaf("rasd:HostResource", "ovf:/disk/"+diskID(i))
	h.doc.leaf("rasd:InstanceID", h.id())
	h.doc.leaf("rasd:Parent", parents[slot{controllers[d.Controller].family, d.Bus}])
	h.doc.leaf("rasd:ResourceType", strconv.Itoa(typeDisk))
	h.doc.done()
}

// nicSlot is the first unit that vSphere gives to network cards.
const nicSlot = 7

func (h *hardware) nic(i int, n *NIC) {
	h.doc.open("Item")
	if n.MAC != "" {
		h.doc.leaf("rasd:Address", n.MAC)
	}
	h.doc.leaf("rasd:AddressOnParent", strconv.Itoa(nicSlot+i))
	h.doc.leaf("rasd:AutomaticAllocation", "true")
	h.doc.leaf("rasd:Connection", n.network())
	h.doc.leaf("rasd:ElementName", label(n.Label, "Network adapter", i))
	h.doc.leaf("rasd:InstanceID", h.id())
	h.doc.leaf("rasd:ResourceSubType", n.adapter())
	h.doc.leaf("rasd:ResourceType", strconv.Itoa(typeEthernet))
	h.doc.done()
}

func label(given, kind string, i int) string {
	if given != "" {
		return given
	}
	return fmt.Sprintf("%s %d", kind, i+1)
}

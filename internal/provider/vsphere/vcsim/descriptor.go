package vcsim

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"slices"
	"strings"
	"text/template"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

//go:embed descriptor.ovf.tmpl
var descriptorText string

var descriptorTemplate = template.Must(template.New("ovf").Funcs(template.FuncMap{"x": xmlText}).Parse(descriptorText))

// envelope is what the template shows.
type envelope struct {
	Name, GuestID, Version, Firmware string
	OSType                           int
	CPUs                             int32
	MemoryMB                         int64
	SecureBoot                       bool
	Files                            []ovfFile
	Disks                            []ovfDisk
	Controllers                      []ovfController
	NICs                             []ovfNIC
}

type ovfFile struct {
	ID, Href string
	Size     int64
}

type ovfDisk struct {
	ID, File, Label        string
	Capacity, Populated    int64
	Instance, Parent, Unit int32
}

type ovfController struct {
	Instance, Bus, Type int32
	Label, SubType      string
}

type ovfNIC struct {
	Instance       int32
	Label, Network string
}

// CreateDescriptor writes the OVF descriptor of a machine whose files a client
// has downloaded.
func (a *api) CreateDescriptor(ctx *simulator.Context, req *types.CreateDescriptor) soap.HasFault {
	body := &methods.CreateDescriptorBody{}
	vm := a.srv.vm(req.Obj)
	if vm == nil {
		body.Fault_ = simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.Obj})
		return body
	}
	var e envelope
	ctx.WithLock(vm, func() { e = a.srv.describe(vm, req.Cdp) })
	var text strings.Builder
	if err := descriptorTemplate.Execute(&text, e); err != nil {
		body.Fault_ = simulator.Fault(err.Error(), &types.OvfExport{})
		return body
	}
	body.Res = &types.CreateDescriptorResponse{Returnval: types.OvfCreateDescriptorResult{OvfDescriptor: text.String()}}
	return body
}

// describe collects what the descriptor says. The caller holds the machine's
// lock.
func (s *Server) describe(vm *simulator.VirtualMachine, cdp types.OvfCreateDescriptorParams) envelope {
	e := envelope{
		Name: cdp.Name, GuestID: vm.Config.GuestId, Version: vm.Config.Version, Firmware: vm.Config.Firmware,
		OSType: int(ovf.GuestIDToCIMOSType(vm.Config.GuestId)),
		CPUs:   vm.Config.Hardware.NumCPU, MemoryMB: int64(vm.Config.Hardware.MemoryMB),
	}
	if e.Name == "" {
		e.Name = vm.Name
	}
	if b := vm.Config.BootOptions; b != nil && b.EfiSecureBootEnabled != nil {
		e.SecureBoot = *b.EfiSecureBootEnabled
	}
	devices := object.VirtualDeviceList(vm.Config.Hardware.Device)
	for i, f := range cdp.OvfFiles {
		e.Files = append(e.Files, ovfFile{ID: fmt.Sprintf("file%d", i+1), Href: f.Path, Size: f.Size})
		for _, dev := range devices {
			d, b := flatDisk(dev)
			if d == nil || f.DeviceId != fmt.Sprintf("/%s/%s", vm.Self.Value, attachment(devices, d)) {
				continue
			}
			if m, err := s.image(vm.Self, d, b); err == nil {
				e.addDisk(devices, d, m, e.Files[i].ID)
			}
		}
	}
	for _, dev := range devices {
		if c, ok := dev.(types.BaseVirtualEthernetCard); ok {
			card := c.GetVirtualEthernetCard()
			e.NICs = append(e.NICs, ovfNIC{
				Instance: 100 + int32(len(e.NICs)),
				Label:    card.DeviceInfo.GetDescription().Label, Network: networkName,
			})
		}
	}
	return e
}

// addDisk adds a disk and, with its first disk, the controller.
func (e *envelope) addDisk(devices object.VirtualDeviceList, d *types.VirtualDisk, m *image, file string) {
	n := int32(len(e.Disks))
	disk := ovfDisk{
		ID: fmt.Sprintf("vmdisk%d", n+1), File: file, Label: d.DeviceInfo.GetDescription().Label,
		Capacity: d.CapacityInBytes, Instance: 50 + n, Parent: d.ControllerKey,
	}
	if data, err := m.allocation(nil); err == nil {
		for _, blocks := range data.runs(0) {
			disk.Populated += blocks * blockSize
		}
	}
	if d.UnitNumber != nil {
		disk.Unit = *d.UnitNumber
	}
	e.Disks = append(e.Disks, disk)
	if slices.ContainsFunc(e.Controllers, func(c ovfController) bool { return c.Instance == d.ControllerKey }) {
		return
	}
	dev := devices.FindByKey(d.ControllerKey)
	c, ok := dev.(types.BaseVirtualController)
	if !ok {
		return
	}
	kind, sub := controllerType(dev)
	e.Controllers = append(e.Controllers, ovfController{
		Instance: d.ControllerKey, Bus: c.GetVirtualController().BusNumber, Type: kind, SubType: sub,
		Label: dev.GetVirtualDevice().DeviceInfo.GetDescription().Label,
	})
}

// controllerType returns the CIM resource type and subtype of a controller.
func controllerType(dev types.BaseVirtualDevice) (kind int32, sub string) {
	const scsi, other = 6, 20
	switch dev.(type) {
	case *types.ParaVirtualSCSIController:
		return scsi, "VirtualSCSI"
	case *types.VirtualLsiLogicSASController:
		return scsi, "lsilogicsas"
	case *types.VirtualAHCIController:
		return other, "vmware.sata.ahci"
	case *types.VirtualNVMEController:
		return other, "vmware.nvme.controller"
	}
	return scsi, lsilogic
}

// xmlText escapes a value for XML.
func xmlText(v any) (string, error) {
	var b strings.Builder
	if err := xml.EscapeText(&b, fmt.Append(nil, v)); err != nil {
		return "", fmt.Errorf("escape: %w", err)
	}
	return b.String(), nil
}

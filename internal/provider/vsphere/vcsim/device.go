package vcsim

import (
	"cmp"
	"fmt"

	"github.com/vmware/govmomi/vim25/types"
)

// firstDiskKey is the device key of a machine's first disk, as ESXi numbers
// disks on a SCSI controller.
const firstDiskKey = 2000

const (
	pvscsi   = "pvscsi"
	lsilogic = "lsilogic"
)

// controllers by the name in Disk.Controller; the key and bus number are those
// of the only controller of its kind that a machine gets.
var controllers = map[string]func() types.BaseVirtualDevice{
	pvscsi: func() types.BaseVirtualDevice {
		return &types.ParaVirtualSCSIController{VirtualSCSIController: scsi(1000, 0)}
	},
	lsilogic: func() types.BaseVirtualDevice {
		return &types.VirtualLsiLogicController{VirtualSCSIController: scsi(1001, 1)}
	},
	"sata": func() types.BaseVirtualDevice {
		return &types.VirtualAHCIController{VirtualSATAController: types.VirtualSATAController{VirtualController: controller(15000, 0, "SATA controller 0")}}
	},
	"nvme": func() types.BaseVirtualDevice {
		return &types.VirtualNVMEController{VirtualController: controller(31000, 0, "NVME controller 0")}
	},
}

func scsi(key, bus int32) types.VirtualSCSIController {
	return types.VirtualSCSIController{
		VirtualController:  controller(key, bus, fmt.Sprintf("SCSI controller %d", bus)),
		SharedBus:          types.VirtualSCSISharingNoSharing,
		ScsiCtlrUnitNumber: 7,
		HotAddRemove:       new(true),
	}
}

func controller(key, bus int32, label string) types.VirtualController {
	return types.VirtualController{
		BusNumber: bus,
		VirtualDevice: types.VirtualDevice{
			Key: key, DeviceInfo: &types.Description{Label: label, Summary: label},
			ControllerKey: 100, UnitNumber: new(3 + key/1000),
		},
	}
}

// devices returns the controllers, disks and the network card to add.
func (v VM) devices() []types.BaseVirtualDeviceConfigSpec {
	var add []types.BaseVirtualDeviceConfigSpec
	units := make(map[string]int32)
	for i, d := range v.Disks {
		kind := cmp.Or(d.Controller, pvscsi)
		c := controllers[kind]()
		if units[kind] == 0 {
			add = append(add, adding(c))
		}
		unit := units[kind]
		if units[kind]++; units[kind] == 7 { // the SCSI controller itself
			units[kind]++
		}
		add = append(add, v.diskDevice(i, c.GetVirtualDevice().Key, unit))
	}
	nic := &types.VirtualVmxnet3{}
	nic.Key = 4000
	nic.Backing = &types.VirtualEthernetCardNetworkBackingInfo{
		VirtualDeviceDeviceBackingInfo: types.VirtualDeviceDeviceBackingInfo{DeviceName: networkName},
	}
	nic.DeviceInfo = &types.Description{Label: "Network adapter 1", Summary: networkName}
	nic.ControllerKey = 100
	nic.UnitNumber = new(int32(7))
	return append(add, adding(nic))
}

func adding(d types.BaseVirtualDevice) *types.VirtualDeviceConfigSpec {
	return &types.VirtualDeviceConfigSpec{Operation: types.VirtualDeviceConfigSpecOperationAdd, Device: d}
}

// diskFile returns the datastore path of the i-th disk's descriptor.
func (v VM) diskFile(i int) string {
	if i == 0 {
		return v.file(v.base() + ".vmdk")
	}
	return v.file(fmt.Sprintf("%s_%d.vmdk", v.base(), i))
}

func (v VM) diskDevice(i int, controller, unit int32) *types.VirtualDeviceConfigSpec {
	d := v.Disks[i]
	size := d.size()
	mode := cmp.Or(d.Mode, string(types.VirtualDiskModePersistent))
	dev := &types.VirtualDisk{
		VirtualDevice: types.VirtualDevice{
			Key:           int32(firstDiskKey + i),
			DeviceInfo:    &types.Description{Label: fmt.Sprintf("Hard disk %d", i+1)},
			ControllerKey: controller, UnitNumber: new(unit),
		},
		CapacityInBytes: size,
		CapacityInKB:    size / 1024,
	}
	file := types.VirtualDeviceFileBackingInfo{FileName: v.diskFile(i)}
	if d.RDM {
		dev.Backing = &types.VirtualDiskRawDiskMappingVer1BackingInfo{
			VirtualDeviceFileBackingInfo: file, DiskMode: mode, CompatibilityMode: string(types.VirtualDiskCompatibilityModePhysicalMode),
			LunUuid: "0200000000600508b4000971e50000700000c00000", DeviceName: "vml.0200000000600508b4000971e50000700000c00000",
		}
	} else {
		dev.Backing = &types.VirtualDiskFlatVer2BackingInfo{
			VirtualDeviceFileBackingInfo: file, DiskMode: mode, ThinProvisioned: new(!d.Thick),
		}
	}
	spec := adding(dev)
	spec.FileOperation = types.VirtualDeviceConfigSpecFileOperationCreate
	return spec
}

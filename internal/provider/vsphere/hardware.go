package vsphere

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider"
)

// volume is a disk with what discovery does not show, but an export must know.
type volume struct {
	provider.Disk
	device    int32 // key of the device
	store     types.ManagedObjectReference
	chained   bool   // lies on top of other files
	split     bool   // cut in 2 GB pieces
	encrypted bool   // its files are
	sharing   bool   // several VMs may write it
	bus       string // noSharing, virtualSharing, physicalSharing
	rdm       string // "", virtualMode, physicalMode
}

// frozenBySnapshot tells whether a snapshot of the VM covers the disk.
func (v *volume) frozenBySnapshot() bool {
	switch types.VirtualDiskMode(v.Mode) {
	case types.VirtualDiskModeIndependent_persistent, types.VirtualDiskModeIndependent_nonpersistent:
		return false
	}
	return v.rdm != string(types.VirtualDiskCompatibilityModePhysicalMode)
}

// volumes lists the disks in the order in which the firmware sees them: those
// of the boot order first, then by controller and unit.
func volumes(cfg *types.VirtualMachineConfigInfo, inv *inventory) []volume {
	controllers := make(map[int32]types.BaseVirtualController)
	for _, d := range cfg.Hardware.Device {
		if c, ok := d.(types.BaseVirtualController); ok {
			controllers[c.GetVirtualController().Key] = c
		}
	}
	var list []volume
	for _, d := range cfg.Hardware.Device {
		if disk, ok := d.(*types.VirtualDisk); ok {
			list = append(list, newVolume(disk, controllers[disk.ControllerKey], inv))
		}
	}
	boot := bootOrder(cfg.BootOptions)
	place := func(v volume) int {
		if i := slices.Index(boot, v.device); i >= 0 {
			return i
		}
		return len(boot)
	}
	slices.SortStableFunc(list, func(a, b volume) int {
		return cmp.Or(
			place(a)-place(b),
			controllerRank(a.Controller)-controllerRank(b.Controller),
			cmp.Compare(a.Bus, b.Bus), cmp.Compare(a.Unit, b.Unit), cmp.Compare(a.device, b.device))
	})
	return list
}

func bootOrder(o *types.VirtualMachineBootOptions) []int32 {
	if o == nil {
		return nil
	}
	var keys []int32
	for _, d := range o.BootOrder {
		if disk, ok := d.(*types.VirtualMachineBootOptionsBootableDiskDevice); ok {
			keys = append(keys, disk.DeviceKey)
		}
	}
	return keys
}

func newVolume(d *types.VirtualDisk, controller types.BaseVirtualController, inv *inventory) volume {
	v := volume{device: d.Key}
	v.Key = strconv.Itoa(int(d.Key))
	v.CapacityBytes = max(d.CapacityInBytes, 0)
	if v.CapacityBytes == 0 {
		v.CapacityBytes = max(d.CapacityInKB, 0) << 10
	}
	if d.DeviceInfo != nil {
		v.Label = d.DeviceInfo.GetDescription().Label
	}
	if d.UnitNumber != nil {
		v.Unit = *d.UnitNumber
	}
	if controller != nil {
		v.Controller = controllerKind(controller)
		v.Bus = controller.GetVirtualController().BusNumber
		if scsi, ok := controller.(types.BaseVirtualSCSIController); ok {
			v.bus = string(scsi.GetVirtualSCSIController().SharedBus)
		}
	}
	v.setBacking(d.Backing)
	v.Datastore = inv.datastores[v.store].name
	return v
}

// setBacking reads the kind of file that holds the disk.
func (v *volume) setBacking(backing types.BaseVirtualDeviceBackingInfo) {
	switch b := backing.(type) {
	case *types.VirtualDiskFlatVer2BackingInfo:
		v.Backing, v.Mode, v.UUID, v.ChangeID = "flat", b.DiskMode, b.Uuid, b.ChangeId
		v.Thin, v.split = isTrue(b.ThinProvisioned), isTrue(b.Split)
		v.chained, v.encrypted = b.Parent != nil, b.KeyId != nil
		v.sharing = b.Sharing == string(types.VirtualDiskSharingSharingMultiWriter)
	case *types.VirtualDiskSeSparseBackingInfo:
		v.Backing, v.Mode, v.UUID, v.ChangeID = "sesparse", b.DiskMode, b.Uuid, b.ChangeId
		v.Thin, v.chained, v.encrypted = true, b.Parent != nil, b.KeyId != nil
	case *types.VirtualDiskSparseVer2BackingInfo:
		v.Backing, v.Mode, v.UUID, v.ChangeID = "sparse", b.DiskMode, b.Uuid, b.ChangeId
		v.Thin, v.split = true, isTrue(b.Split)
		v.chained, v.encrypted = b.Parent != nil, b.KeyId != nil
	case *types.VirtualDiskRawDiskMappingVer1BackingInfo:
		v.Backing, v.Mode, v.UUID, v.ChangeID = "rdm", b.DiskMode, b.Uuid, b.ChangeId
		v.rdm, v.chained = b.CompatibilityMode, b.Parent != nil
		v.sharing = b.Sharing == string(types.VirtualDiskSharingSharingMultiWriter)
	}
	if file, ok := backing.(types.BaseVirtualDeviceFileBackingInfo); ok {
		f := file.GetVirtualDeviceFileBackingInfo()
		v.Path = f.FileName
		if f.Datastore != nil {
			v.store = *f.Datastore
		}
	}
}

func isTrue(b *bool) bool { return b != nil && *b }

// The kinds of controllers, as provider.Disk names them.
const (
	pvscsi   = "pvscsi"
	lsilogic = "lsilogic"
	lsisas   = "lsisas"
	buslogic = "buslogic"
	sata     = "sata"
	nvme     = "nvme"
	ide      = "ide"
)

// controllerRank is the order in which a VM's firmware looks for a disk.
func controllerRank(kind string) int {
	switch kind {
	case lsilogic, lsisas, pvscsi, buslogic:
		return 0
	case sata:
		return 1
	case nvme:
		return 2
	case ide:
		return 3
	}
	return 4
}

func controllerKind(c types.BaseVirtualController) string {
	switch c.(type) {
	case *types.ParaVirtualSCSIController:
		return pvscsi
	case *types.VirtualLsiLogicSASController:
		return lsisas
	case *types.VirtualBusLogicController:
		return buslogic
	case *types.VirtualNVMEController:
		return nvme
	case *types.VirtualIDEController:
		return ide
	case types.BaseVirtualSATAController:
		return sata
	case types.BaseVirtualSCSIController:
		return lsilogic
	}
	return ""
}

// nics lists the network cards.
func nics(devices []types.BaseVirtualDevice, inv *inventory) []provider.NIC {
	var list []provider.NIC
	for _, d := range devices {
		card, ok := d.(types.BaseVirtualEthernetCard)
		if !ok {
			continue
		}
		e := card.GetVirtualEthernetCard()
		n := provider.NIC{Type: cardKind(card), MAC: e.MacAddress, Network: network(e.Backing, inv)}
		if e.DeviceInfo != nil {
			n.Label = e.DeviceInfo.GetDescription().Label
		}
		list = append(list, n)
	}
	return list
}

func cardKind(c types.BaseVirtualEthernetCard) string {
	switch c.(type) {
	case types.BaseVirtualVmxnet:
		return "vmxnet3"
	case *types.VirtualE1000:
		return "e1000"
	case *types.VirtualE1000e:
		return "e1000e"
	case *types.VirtualPCNet32:
		return "pcnet32"
	case *types.VirtualSriovEthernetCard:
		return "sriov"
	}
	return ""
}

func network(backing types.BaseVirtualDeviceBackingInfo, inv *inventory) string {
	switch b := backing.(type) {
	case *types.VirtualEthernetCardNetworkBackingInfo:
		return b.DeviceName
	case *types.VirtualEthernetCardDistributedVirtualPortBackingInfo:
		if name, ok := inv.networks[b.Port.PortgroupKey]; ok {
			return name
		}
		return b.Port.PortgroupKey
	case *types.VirtualEthernetCardOpaqueNetworkBackingInfo:
		return b.OpaqueNetworkId
	}
	return ""
}

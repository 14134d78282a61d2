package vsphere

import (
	"fmt"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider"
)

const (
	// maxSnapshots is the length of a chain at which another snapshot is not
	// made; vSphere's limit is 32.
	maxSnapshots = 31
	// minFree is what a datastore must have free before a running VM is frozen:
	// what the guest writes from then on takes new space.
	minFree = 1 << 30
)

// finding is a Blocker with the disk that it is about: it does not count when
// that disk is excluded. running marks those that a powered-off VM does not have.
type finding struct {
	provider.Blocker
	disk    string
	running bool
}

// findings tells what stands in the way of an export of the VM as it is now.
func findings(m *machine, vm *mo.VirtualMachine) []finding {
	if vm.Config == nil {
		return []finding{{Blocker: provider.Blocker{
			Code: "HX-VSPHERE-100", Fatal: true,
			Msg: fmt.Sprintf("the VM is %s: vCenter does not know its configuration", vm.Runtime.ConnectionState),
			Fix: "look at the VM, its host and its datastore in vCenter",
		}}}
	}
	list := machineFindings(m, vm)
	for i := range m.volumes {
		list = append(list, volumeFindings(m, &m.volumes[i])...)
	}
	if m.PowerState == poweredOff {
		for i := range list {
			list[i].Fatal = list[i].Fatal && !list[i].running
		}
	}
	return list
}

// machineFindings are those about the VM as a whole.
func machineFindings(m *machine, vm *mo.VirtualMachine) []finding {
	var list []finding
	add := func(when, fatal, running bool, code, msg, fix string) {
		if when {
			list = append(list, finding{provider.Blocker{Code: code, Msg: msg, Fix: fix, Fatal: fatal}, "", running})
		}
	}
	state := vm.Runtime.ConnectionState
	add(state != types.VirtualMachineConnectionStateConnected && state != "", true, false, "HX-VSPHERE-101",
		fmt.Sprintf("the VM is %s", state), "look at its host in vCenter")
	add(len(m.volumes) == 0, true, false, "HX-VSPHERE-102",
		"the VM has no disks", "attach a disk, or choose another VM")
	levels := 0
	if vm.Snapshot != nil {
		levels = depth(vm.Snapshot.RootSnapshotList, 0)
	}
	add(levels >= maxSnapshots, true, true, "HX-VSPHERE-103",
		fmt.Sprintf("the VM has %d snapshots in a chain, and one more could not be removed safely", levels),
		"delete old snapshots of the VM")
	add(vm.Runtime.ConsolidationNeeded, false, false, "HX-VSPHERE-104",
		"the VM's disks need consolidation", "consolidate the disks in vCenter; the export works, but more slowly")
	ft := vm.Runtime.FaultToleranceState
	add(ft != "" && ft != types.VirtualMachineFaultToleranceStateNotConfigured, true, true, "HX-VSPHERE-105",
		"fault tolerance is on: the VM cannot have a snapshot", "turn fault tolerance off for the export")
	add(vm.Runtime.Question != nil, true, false, "HX-VSPHERE-106",
		"the VM waits for an answer to a question", "answer the question in vCenter")
	for _, d := range vm.Config.Hardware.Device {
		switch d.(type) {
		case *types.VirtualTPM:
			add(true, false, false, "HX-VSPHERE-107", "the VM has a virtual TPM, whose content cannot be exported",
				"suspend BitLocker or what else keeps keys in it, and have the recovery key at hand")
		case *types.VirtualPCIPassthrough:
			add(true, true, true, "HX-VSPHERE-108", "the VM has a passthrough device: it cannot have a snapshot while it runs",
				"power the VM off (power_off: true), or remove the device")
		}
	}
	return list
}

// volumeFindings are those about one disk.
func volumeFindings(m *machine, v *volume) []finding {
	var list []finding
	add := func(when, fatal, running bool, code, why, fix string) {
		if when {
			msg := fmt.Sprintf("%s (%s) %s", v.Label, v.Key, why)
			list = append(list, finding{provider.Blocker{Code: code, Msg: msg, Fix: fix, Fatal: fatal}, v.Key, running})
		}
	}
	const exclude = "exclude the disk (exclude_disks)"
	add(v.Backing == "", true, false, "HX-VSPHERE-110", "has a backing that is not known here", exclude)
	add(v.rdm == string(types.VirtualDiskCompatibilityModePhysicalMode), true, false, "HX-VSPHERE-111",
		"is a raw device in physical mode, which vSphere does not export", exclude+", and copy the LUN by other means")
	add(v.rdm == string(types.VirtualDiskCompatibilityModeVirtualMode), false, false, "HX-VSPHERE-112",
		"is a raw device in virtual mode: it becomes an ordinary disk", "")
	add(v.rdm == "" && !v.frozenBySnapshot(), true, true, "HX-VSPHERE-113",
		"is independent: a snapshot does not freeze it", exclude+", or power the VM off (power_off: true)")
	add(v.sharing || v.bus != "" && v.bus != string(types.VirtualSCSISharingNoSharing), true, true, "HX-VSPHERE-114",
		"is shared with other VMs, and cannot have a snapshot", exclude+", or power off all VMs that share it")
	add(v.encrypted, true, false, "HX-VSPHERE-115", "is encrypted, and vSphere does not export it",
		"decrypt the VM in vCenter, or "+exclude)
	add(v.CapacityBytes == 0 || v.CapacityBytes%512 != 0, true, false, "HX-VSPHERE-116",
		fmt.Sprintf("has a capacity of %d bytes, which is no disk", v.CapacityBytes), exclude)
	d := m.inv.datastores[v.store]
	add(d.capacity > 0 && d.free < minFree, true, true, "HX-VSPHERE-117",
		fmt.Sprintf("lies on %s, which has only %d MiB free for a snapshot", d.name, d.free>>20),
		"free space on the datastore")
	return list
}

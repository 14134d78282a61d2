package vsphere

import (
	"context"

	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider"
)

// machine is a VM as read at one moment, with what an export must know of it.
type machine struct {
	provider.VM
	ref      types.ManagedObjectReference
	host     types.ManagedObjectReference
	template bool
	volumes  []volume // parallel to VM.Disks
	disks    int      // how many the VM has, excluded ones too
	findings []finding
	nvram    string // "[ds] vm/vm.nvram"; empty if there is none
	inv      *inventory
}

// machineProperties is all that is ever asked of a VM.
var machineProperties = []string{
	"name",
	"config.instanceUuid", "config.uuid", "config.guestId", "config.guestFullName", "config.version",
	"config.firmware", "config.template", "config.createDate", "config.changeTrackingEnabled",
	"config.keyId", "config.bootOptions", "config.hardware.numCPU", "config.hardware.memoryMB",
	"config.hardware.device", "config.files",
	"runtime.powerState", "runtime.connectionState", "runtime.host", "runtime.consolidationNeeded",
	"runtime.faultToleranceState", "runtime.question",
	"snapshot", "layoutEx.file", "layoutEx.disk",
}

// readMachines reads the VMs behind entries; one that is gone meanwhile is left out.
func readMachines(ctx context.Context, c *vim25.Client, inv *inventory, entries []entry) ([]machine, error) {
	refs := make([]types.ManagedObjectReference, len(entries))
	byRef := make(map[types.ManagedObjectReference]entry, len(entries))
	for i, e := range entries {
		refs[i] = e.ref
		byRef[e.ref] = e
	}
	found, err := read[mo.VirtualMachine](ctx, c, refs, machineProperties...)
	if err != nil {
		return nil, classify(ctx, err, "read the properties of the VMs")
	}
	list := make([]machine, len(found))
	for i := range found {
		list[i] = describe(&found[i], byRef[found[i].Self], inv)
	}
	return list, nil
}

// describe makes a machine of what vCenter tells.
func describe(vm *mo.VirtualMachine, e entry, inv *inventory) machine {
	m := machine{ref: vm.Self, inv: inv}
	m.VM = provider.VM{
		Provider:   "vsphere",
		ID:         vm.Self.Value,
		Path:       e.path,
		Name:       e.name,
		PowerState: powerState(vm.Runtime.PowerState),
		Snapshots:  snapshotNames(vm.Snapshot),
	}
	if vm.Runtime.Host != nil {
		m.host = *vm.Runtime.Host
		m.Host = inv.nodes[m.host].name
	}
	if vm.Config != nil {
		m.setConfig(vm.Config)
		m.setUsed(vm.LayoutEx)
	}
	m.setNVRAM(vm)
	m.findings = findings(&m, vm)
	for _, f := range m.findings {
		m.Blockers = append(m.Blockers, f.Blocker)
	}
	return m
}

// setConfig takes the hardware; also that of a snapshot.
func (m *machine) setConfig(cfg *types.VirtualMachineConfigInfo) {
	m.UUID, m.BIOSUUID = cfg.InstanceUuid, cfg.Uuid
	m.GuestID, m.GuestName = cfg.GuestId, cfg.GuestFullName
	m.Firmware, m.Hardware = cfg.Firmware, cfg.Version
	m.SecureBoot = cfg.BootOptions != nil && isTrue(cfg.BootOptions.EfiSecureBootEnabled)
	m.CPUs, m.MemoryMB = cfg.Hardware.NumCPU, int64(cfg.Hardware.MemoryMB)
	m.CBT = isTrue(cfg.ChangeTrackingEnabled)
	m.Created = cfg.CreateDate
	m.template = cfg.Template
	m.NICs = nics(cfg.Hardware.Device, m.inv)
	m.setVolumes(volumes(cfg, m.inv))
	m.disks = len(m.volumes)
	if m.Datastore == "" && len(m.Disks) > 0 {
		m.Datastore = m.Disks[0].Datastore
	}
}

func (m *machine) setVolumes(list []volume) {
	m.volumes = list
	m.Disks = make([]provider.Disk, len(list))
	for i := range list {
		m.Disks[i] = list[i].Disk
	}
}

// setUsed adds up the sizes of the files of each disk. A thin file counts what
// is allocated.
func (m *machine) setUsed(layout *types.VirtualMachineFileLayoutEx) {
	if layout == nil {
		return
	}
	size := make(map[int32]int64, len(layout.File))
	for _, f := range layout.File {
		size[f.Key] = f.Size
	}
	used := make(map[int32]int64, len(layout.Disk))
	for _, d := range layout.Disk {
		for _, unit := range d.Chain {
			for _, key := range unit.FileKey {
				used[d.Key] += size[key]
			}
		}
	}
	for i := range m.volumes {
		m.volumes[i].UsedBytes = min(used[m.volumes[i].device], m.volumes[i].CapacityBytes)
		m.Disks[i].UsedBytes = m.volumes[i].UsedBytes
	}
}

func (m *machine) setNVRAM(vm *mo.VirtualMachine) {
	if vm.LayoutEx == nil {
		return
	}
	for _, f := range vm.LayoutEx.File {
		if f.Type == string(types.VirtualMachineFileLayoutExFileTypeNvram) {
			m.nvram = f.Name
		}
	}
}

// poweredOff is provider.VM's name for a VM that does not run.
const poweredOff = "off"

func powerState(s types.VirtualMachinePowerState) string {
	switch s {
	case types.VirtualMachinePowerStatePoweredOn:
		return "on"
	case types.VirtualMachinePowerStateSuspended:
		return "suspended"
	default:
		return poweredOff
	}
}

// snapshotNames lists the tree, parents first.
func snapshotNames(info *types.VirtualMachineSnapshotInfo) []string {
	var names []string
	for s := range snapshots(info) {
		names = append(names, s.Name)
	}
	return names
}

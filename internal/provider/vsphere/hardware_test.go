package vsphere

import (
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider"
)

func diskOn(key, controller, unit int32, backing types.BaseVirtualDeviceBackingInfo) *types.VirtualDisk {
	return &types.VirtualDisk{CapacityInBytes: 1 << 20, VirtualDevice: types.VirtualDevice{
		Key: key, ControllerKey: controller, UnitNumber: &unit, Backing: backing,
	}}
}

func controllerOn(key, bus int32) types.VirtualController {
	return types.VirtualController{BusNumber: bus, VirtualDevice: types.VirtualDevice{Key: key}}
}

func flat() *types.VirtualDiskFlatVer2BackingInfo { return &types.VirtualDiskFlatVer2BackingInfo{} }

// Disks come in the order in which the firmware sees them.
func TestVolumeOrder(t *testing.T) {
	t.Parallel()
	cfg := &types.VirtualMachineConfigInfo{Hardware: types.VirtualHardware{Device: []types.BaseVirtualDevice{
		&types.VirtualIDEController{VirtualController: controllerOn(200, 0)},
		&types.VirtualNVMEController{VirtualController: controllerOn(31000, 0)},
		&types.VirtualAHCIController{VirtualSATAController: types.VirtualSATAController{VirtualController: controllerOn(15000, 0)}},
		&types.VirtualLsiLogicSASController{VirtualSCSIController: types.VirtualSCSIController{VirtualController: controllerOn(1001, 1)}},
		&types.ParaVirtualSCSIController{VirtualSCSIController: types.VirtualSCSIController{VirtualController: controllerOn(1000, 0)}},
		diskOn(1, 200, 0, flat()), diskOn(2, 31000, 0, flat()), diskOn(3, 15000, 0, flat()),
		diskOn(4, 1001, 0, flat()), diskOn(5, 1000, 8, flat()), diskOn(6, 1000, 0, flat()),
	}}}
	order := func() (keys []int32) {
		for _, v := range volumes(cfg, &inventory{}) {
			keys = append(keys, v.device)
		}
		return keys
	}
	if got, want := order(), []int32{6, 5, 4, 3, 2, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	cfg.BootOptions = &types.VirtualMachineBootOptions{BootOrder: []types.BaseVirtualMachineBootOptionsBootableDevice{
		&types.VirtualMachineBootOptionsBootableCdromDevice{},
		&types.VirtualMachineBootOptionsBootableDiskDevice{DeviceKey: 2},
		&types.VirtualMachineBootOptionsBootableDiskDevice{DeviceKey: 4},
	}}
	if got, want := order(), []int32{2, 4, 6, 5, 3, 1}; !slices.Equal(got, want) {
		t.Errorf("with a boot order %v, want %v", got, want)
	}
}

func TestFindings(t *testing.T) {
	t.Parallel()
	yes := new(true)
	multiWriter := flat()
	multiWriter.Sharing = string(types.VirtualDiskSharingSharingMultiWriter)
	encrypted := flat()
	encrypted.KeyId = &types.CryptoKeyId{}
	chain := make([]types.VirtualMachineSnapshotTree, 1)
	for range maxSnapshots {
		chain = []types.VirtualMachineSnapshotTree{{ChildSnapshotList: chain}}
	}
	store := types.ManagedObjectReference{Type: "Datastore", Value: "full"}
	onFull := flat()
	onFull.Datastore = &store
	for _, c := range []struct {
		name   string
		code   string
		fatal  bool
		off    bool // also fatal when the VM is off
		change func(*mo.VirtualMachine)
	}{
		{"no configuration", "HX-VSPHERE-100", true, true, func(vm *mo.VirtualMachine) { vm.Config = nil }},
		{"disconnected", "HX-VSPHERE-101", true, true, func(vm *mo.VirtualMachine) {
			vm.Runtime.ConnectionState = types.VirtualMachineConnectionStateDisconnected
		}},
		{"snapshots", "HX-VSPHERE-103", true, false, func(vm *mo.VirtualMachine) {
			vm.Snapshot = &types.VirtualMachineSnapshotInfo{RootSnapshotList: chain}
		}},
		{"consolidation", "HX-VSPHERE-104", false, false, func(vm *mo.VirtualMachine) { vm.Runtime.ConsolidationNeeded = true }},
		{"fault tolerance", "HX-VSPHERE-105", true, false, func(vm *mo.VirtualMachine) {
			vm.Runtime.FaultToleranceState = types.VirtualMachineFaultToleranceStateRunning
		}},
		{"question", "HX-VSPHERE-106", true, true, func(vm *mo.VirtualMachine) { vm.Runtime.Question = &types.VirtualMachineQuestionInfo{} }},
		{"TPM", "HX-VSPHERE-107", false, false, device(&types.VirtualTPM{})},
		{"passthrough", "HX-VSPHERE-108", true, false, device(&types.VirtualPCIPassthrough{})},
		{"unknown backing", "HX-VSPHERE-110", true, true, device(diskOn(9, 0, 0, &types.VirtualDiskPartitionedRawDiskVer2BackingInfo{}))},
		{"physical RDM", "HX-VSPHERE-111", true, true, device(diskOn(9, 0, 0, &types.VirtualDiskRawDiskMappingVer1BackingInfo{CompatibilityMode: "physicalMode"}))},
		{"virtual RDM", "HX-VSPHERE-112", false, false, device(diskOn(9, 0, 0, &types.VirtualDiskRawDiskMappingVer1BackingInfo{CompatibilityMode: "virtualMode"}))},
		{"independent", "HX-VSPHERE-113", true, false, device(diskOn(9, 0, 0, &types.VirtualDiskFlatVer2BackingInfo{DiskMode: "independent_persistent"}))},
		{"multi-writer", "HX-VSPHERE-114", true, false, device(diskOn(9, 0, 0, multiWriter))},
		{"shared bus", "HX-VSPHERE-114", true, false, device(
			&types.ParaVirtualSCSIController{VirtualSCSIController: types.VirtualSCSIController{
				VirtualController: controllerOn(1000, 0), SharedBus: types.VirtualSCSISharingPhysicalSharing, HotAddRemove: yes,
			}}, diskOn(9, 1000, 0, flat()))},
		{"encrypted", "HX-VSPHERE-115", true, true, device(diskOn(9, 0, 0, encrypted))},
		{"full datastore", "HX-VSPHERE-117", true, false, device(diskOn(9, 0, 0, onFull))},
	} {
		for _, off := range []bool{false, true} {
			vm := mo.VirtualMachine{Config: &types.VirtualMachineConfigInfo{Hardware: types.VirtualHardware{
				Device: []types.BaseVirtualDevice{diskOn(8, 0, 1, flat())},
			}}}
			vm.Runtime.ConnectionState = types.VirtualMachineConnectionStateConnected
			vm.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOn
			if off {
				vm.Runtime.PowerState = types.VirtualMachinePowerStatePoweredOff
			}
			inv := &inventory{datastores: map[types.ManagedObjectReference]datastore{store: {name: "full", capacity: 1 << 40, free: 1}}}
			if m := describe(&vm, entry{}, inv); len(m.Blockers) > 0 {
				t.Fatalf("a plain VM has %+v", m.Blockers)
			}
			c.change(&vm)
			m := describe(&vm, entry{path: "/DC/vm/x"}, inv)
			if len(m.Blockers) != 1 || m.Blockers[0].Code != c.code || m.Blockers[0].Fatal != (c.fatal && (!off || c.off)) {
				t.Errorf("%s, off=%v: %+v", c.name, off, m.Blockers)
			}
			if err := m.check(); vm.Config != nil && (err != nil) != m.Blockers[0].Fatal {
				t.Errorf("%s, off=%v: check says %v", c.name, off, err)
			}
			if vm.Config != nil && m.findings[0].disk != "" {
				if err := m.exclude([]string{m.findings[0].disk}); err != nil || m.check() != nil {
					t.Errorf("%s: excluding the disk does not help: %v %v", c.name, err, m.check())
				}
			}
		}
	}
}

func device(devices ...types.BaseVirtualDevice) func(*mo.VirtualMachine) {
	return func(vm *mo.VirtualMachine) {
		vm.Config.Hardware.Device = append(vm.Config.Hardware.Device, devices...)
	}
}

func TestStreamOfADisk(t *testing.T) {
	t.Parallel()
	yes, no := new(true), new(false)
	l := &lease{disks: 3, info: types.HttpNfcLeaseInfo{DeviceUrl: []types.HttpNfcLeaseDeviceUrl{
		{Key: "/vm-1/nvram", Disk: no, TargetId: "x.nvram"},
		{Key: "/vm-1/ParaVirtualSCSIController0:1", Disk: yes},
		{Key: "/vm-1/ParaVirtualSCSIController0:10", Disk: yes},
		{Key: "/vm-1/VirtualLsiLogicController0:1", Disk: yes},
		{Key: "/vm-1/VirtualNVMEController1:1", TargetId: "disk-3.vmdk"},
	}}}
	for want, d := range map[string]provider.Disk{
		"/vm-1/ParaVirtualSCSIController0:1":  {Controller: "pvscsi", Bus: 0, Unit: 1},
		"/vm-1/ParaVirtualSCSIController0:10": {Controller: "pvscsi", Bus: 0, Unit: 10},
		"/vm-1/VirtualLsiLogicController0:1":  {Controller: "lsilogic", Bus: 0, Unit: 1},
		"/vm-1/VirtualNVMEController1:1":      {Controller: "nvme", Bus: 1, Unit: 1},
	} {
		if u, err := l.urlOf(&volume{Disk: d}); err != nil || u.Key != want {
			t.Errorf("%+v: %v, %v", d, u, err)
		}
	}
	unknown := &volume{Disk: provider.Disk{Controller: "sata"}}
	if _, err := l.urlOf(unknown); err == nil {
		t.Error("a disk that is not listed got a stream")
	}
	l.info.DeviceUrl = []types.HttpNfcLeaseDeviceUrl{{Key: "something else", Disk: yes}}
	if _, err := l.urlOf(unknown); err == nil {
		t.Error("one stream of three disks was taken for any of them")
	}
	l.disks = 1
	if _, err := l.urlOf(unknown); err != nil {
		t.Errorf("the only stream is not the only disk's: %v", err)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"web", "web", 0}, {"web", "wbe", 2}, {"web-01", "web-1", 1}, {"kitten", "sitting", 3}, {"", "ab", 2}} {
		if got := distance(c.a, c.b, 9); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
	if distance("short", strings.Repeat("x", 100), 2) <= 2 {
		t.Error("names of other lengths are near")
	}
}

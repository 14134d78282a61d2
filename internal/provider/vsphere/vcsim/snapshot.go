package vcsim

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// CreateSnapshot_Task is the older form of CreateSnapshotEx_Task.
func (a *api) CreateSnapshotTask(ctx *simulator.Context, req *types.CreateSnapshot_Task) soap.HasFault {
	ex := &types.CreateSnapshotEx_Task{This: req.This, Name: req.Name, Description: req.Description, Memory: req.Memory}
	if req.Quiesce {
		ex.QuiesceSpec = &types.VirtualMachineGuestQuiesceSpec{}
	}
	return &methods.CreateSnapshot_TaskBody{
		Res: &types.CreateSnapshot_TaskResponse{Returnval: a.createSnapshot(ctx, ex)},
	}
}

// CreateSnapshotExTask freezes the disks of a machine.
func (a *api) CreateSnapshotExTask(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) soap.HasFault {
	return &methods.CreateSnapshotEx_TaskBody{
		Res: &types.CreateSnapshotEx_TaskResponse{Returnval: a.createSnapshot(ctx, req)},
	}
}

// createSnapshot runs the simulator's own task, which keeps the tree, inside
// of one that freezes the disks.
func (a *api) createSnapshot(ctx *simulator.Context, req *types.CreateSnapshotEx_Task) types.ManagedObjectReference {
	vm := a.srv.vm(req.This)
	task := simulator.CreateTask(req.This, "createSnapshotEx", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		if _, hit := a.srv.faults.take(FailCreateSnapshot, site{vm: a.srv.vmPath(vm)}); hit {
			return nil, taskFault("An error occurred while saving the snapshot: Failed to quiesce the virtual machine.",
				&types.ApplicationQuiesceFault{})
		}
		if a.srv.leased(req.This, nil) {
			return nil, &types.TaskInProgress{}
		}
		body, ok := vm.CreateSnapshotExTask(ctx, req).(*methods.CreateSnapshotEx_TaskBody)
		if !ok || body.Res == nil {
			return nil, &types.SnapshotFault{}
		}
		result, fault := inner(ctx, body.Res.Returnval)
		if fault != nil {
			return nil, fault
		}
		ref, ok := result.(types.ManagedObjectReference)
		if !ok {
			return nil, &types.SnapshotFault{}
		}
		a.srv.note(vm, ref, req.Name)
		if err := a.srv.freeze(ctx, vm, ref); err != nil {
			return nil, taskFault(err.Error(), &types.FileFault{})
		}
		return ref, nil
	})
	return task.Run(ctx)
}

// taskFault gives a fault a cause with a text, as vCenter does.
func taskFault(msg string, fault types.BaseMethodFault) types.BaseMethodFault {
	fault.GetMethodFault().FaultMessage = []types.LocalizableMessage{{Key: "msg.snapshot.error", Message: msg}}
	return fault
}

// freeze puts a delta over every disk that the snapshot covers and shows it in
// the machine's configuration; the snapshot keeps the frozen one. The caller
// holds the machine's lock.
func (s *Server) freeze(ctx *simulator.Context, vm *simulator.VirtualMachine, ref types.ManagedObjectReference) error {
	devices := make([]types.BaseVirtualDevice, len(vm.Config.Hardware.Device))
	copy(devices, vm.Config.Hardware.Device)
	snapshot, ok := s.registry.Get(ref).(*simulator.VirtualMachineSnapshot)
	if !ok {
		return fmt.Errorf("snapshot %s is lost", ref)
	}
	tracking := vm.Config.ChangeTrackingEnabled
	for i := range devices {
		d, b := flatDisk(devices[i])
		if d == nil || independent(b) {
			continue
		}
		m, err := s.image(vm.Self, d, b)
		if err != nil {
			return err
		}
		m.track(tracking != nil && *tracking)
		delta, changeID, err := m.freeze(ref)
		if err != nil {
			return err
		}
		setChangeID(&snapshot.Config, d.Key, changeID)
		over := *b
		frozen := *b
		frozen.ChangeId = changeID
		over.FileName, over.Parent, over.ChangeId = delta, &frozen, changeID
		over.DeltaDiskFormat = string(types.VirtualDiskDeltaDiskFormatSeSparseFormat)
		devices[i] = withBacking(d, &over)
	}
	s.setDevices(ctx, vm, devices)
	return nil
}

// setChangeID notes the change id of a disk in a snapshot's configuration.
func setChangeID(config *types.VirtualMachineConfigInfo, key int32, id string) {
	for _, dev := range config.Hardware.Device {
		if d, b := flatDisk(dev); d != nil && d.Key == key {
			b.ChangeId = id
		}
	}
}

// flatDisk returns a device as a disk on a datastore, or nil.
func flatDisk(dev types.BaseVirtualDevice) (*types.VirtualDisk, *types.VirtualDiskFlatVer2BackingInfo) {
	d, ok := dev.(*types.VirtualDisk)
	if !ok {
		return nil, nil
	}
	b, ok := d.Backing.(*types.VirtualDiskFlatVer2BackingInfo)
	if !ok {
		return nil, nil
	}
	return d, b
}

// independent tells whether snapshots leave the disk out.
func independent(b *types.VirtualDiskFlatVer2BackingInfo) bool {
	return b.DiskMode == string(types.VirtualDiskModeIndependent_persistent) ||
		b.DiskMode == string(types.VirtualDiskModeIndependent_nonpersistent)
}

func withBacking(d *types.VirtualDisk, b *types.VirtualDiskFlatVer2BackingInfo) *types.VirtualDisk {
	c := *d
	c.Backing = b
	return &c
}

// setDevices publishes changed devices and the files behind them.
func (s *Server) setDevices(ctx *simulator.Context, vm *simulator.VirtualMachine, devices []types.BaseVirtualDevice) {
	ctx.Update(vm, []types.PropertyChange{{Name: "config.hardware.device", Val: devices}})
	s.refreshLayout(ctx, vm)
}

// RemoveSnapshotTask removes a snapshot and merges what was written since.
func (a *api) RemoveSnapshotTask(ctx *simulator.Context, req *types.RemoveSnapshot_Task) soap.HasFault {
	snapshot, ok := a.srv.registry.Get(req.This).(*simulator.VirtualMachineSnapshot)
	if !ok {
		return &methods.RemoveSnapshot_TaskBody{Fault_: simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.This})}
	}
	vm := a.srv.vm(snapshot.Vm)
	task := simulator.CreateTask(snapshot.Vm, "removeSnapshot", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		doomed := []types.ManagedObjectReference{req.This}
		if req.RemoveChildren {
			doomed = subtree(snapshotTree(vm), req.This)
		}
		return nil, a.remove(ctx, vm, doomed, func() soap.HasFault { return snapshot.RemoveSnapshotTask(ctx, req) })
	})
	return &methods.RemoveSnapshot_TaskBody{Res: &types.RemoveSnapshot_TaskResponse{Returnval: task.Run(ctx)}}
}

// RemoveAllSnapshotsTask removes every snapshot of a machine.
func (a *api) RemoveAllSnapshotsTask(ctx *simulator.Context, req *types.RemoveAllSnapshots_Task) soap.HasFault {
	vm := a.srv.vm(req.This)
	task := simulator.CreateTask(req.This, "removeAllSnapshots", func(*simulator.Task) (types.AnyType, types.BaseMethodFault) {
		var doomed []types.ManagedObjectReference
		for _, root := range snapshotTree(vm) {
			doomed = append(doomed, subtree([]types.VirtualMachineSnapshotTree{root}, root.Snapshot)...)
		}
		return nil, a.remove(ctx, vm, doomed, func() soap.HasFault { return vm.RemoveAllSnapshotsTask(ctx, req) })
	})
	return &methods.RemoveAllSnapshots_TaskBody{Res: &types.RemoveAllSnapshots_TaskResponse{Returnval: task.Run(ctx)}}
}

// remove runs the simulator's own removal and then merges the disks. The
// caller's task holds the machine's lock.
func (a *api) remove(ctx *simulator.Context, vm *simulator.VirtualMachine, doomed []types.ManagedObjectReference, stock func() soap.HasFault) types.BaseMethodFault {
	s := a.srv
	if _, hit := s.faults.take(FailRemoveSnapshot, site{vm: s.vmPath(vm)}); hit {
		return taskFault("Unable to access file since it is locked", &types.FileLocked{})
	}
	if s.leased(vm.Self, doomed) {
		return &types.TaskInProgress{}
	}
	keepFiles(vm)
	var ref types.ManagedObjectReference
	switch body := stock().(type) {
	case *methods.RemoveSnapshot_TaskBody:
		ref = body.Res.Returnval
	case *methods.RemoveAllSnapshots_TaskBody:
		ref = body.Res.Returnval
	}
	if _, fault := inner(ctx, ref); fault != nil {
		return fault
	}
	if err := errors.Join(s.forget(doomed), s.thaw(ctx, vm, doomed)); err != nil {
		return taskFault(err.Error(), &types.FileFault{})
	}
	return nil
}

// thaw merges the deltas of removed snapshots and shows the shorter chains.
func (s *Server) thaw(ctx *simulator.Context, vm *simulator.VirtualMachine, doomed []types.ManagedObjectReference) error {
	devices := make([]types.BaseVirtualDevice, len(vm.Config.Hardware.Device))
	copy(devices, vm.Config.Hardware.Device)
	var errs []error
	for i := range devices {
		d, b := flatDisk(devices[i])
		if d == nil || independent(b) {
			continue
		}
		m, err := s.image(vm.Self, d, b)
		if err != nil {
			return err
		}
		for _, ref := range doomed {
			errs = append(errs, m.thaw(ref))
		}
		devices[i] = withBacking(d, rechain(b, m.chain()))
	}
	s.setDevices(ctx, vm, devices)
	return errors.Join(errs...)
}

// rechain returns b with the backing files that are left, from the top.
func rechain(b *types.VirtualDiskFlatVer2BackingInfo, names []string) *types.VirtualDiskFlatVer2BackingInfo {
	var below *types.VirtualDiskFlatVer2BackingInfo
	for _, name := range slices.Backward(names) {
		level := *b
		level.FileName, level.Parent, level.DeltaDiskFormat = name, below, ""
		if below != nil {
			level.DeltaDiskFormat = string(types.VirtualDiskDeltaDiskFormatSeSparseFormat)
		}
		below = &level
	}
	return below
}

func snapshotTree(vm *simulator.VirtualMachine) []types.VirtualMachineSnapshotTree {
	if vm.Snapshot == nil {
		return nil
	}
	return vm.Snapshot.RootSnapshotList
}

// subtree returns the snapshot root and all below it, the deepest first.
func subtree(tree []types.VirtualMachineSnapshotTree, root types.ManagedObjectReference) []types.ManagedObjectReference {
	var refs []types.ManagedObjectReference
	for _, t := range tree {
		if t.Snapshot != root {
			refs = append(refs, subtree(t.ChildSnapshotList, root)...)
			continue
		}
		for _, c := range t.ChildSnapshotList {
			refs = append(refs, subtree(t.ChildSnapshotList, c.Snapshot)...)
		}
		refs = append(refs, t.Snapshot)
	}
	return refs
}

// RevertToSnapshotTask is not modelled: the content would have to go back too.
func (*api) RevertToSnapshotTask(*simulator.Context, *types.RevertToSnapshot_Task) soap.HasFault {
	return &methods.RevertToSnapshot_TaskBody{Fault_: simulator.Fault("revert is not simulated", &types.NotSupported{})}
}

// RevertToCurrentSnapshotTask is not modelled either.
func (*api) RevertToCurrentSnapshotTask(*simulator.Context, *types.RevertToCurrentSnapshot_Task) soap.HasFault {
	return &methods.RevertToCurrentSnapshot_TaskBody{Fault_: simulator.Fault("revert is not simulated", &types.NotSupported{})}
}

var _ mo.Reference = (*api)(nil)

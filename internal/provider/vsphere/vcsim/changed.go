package vcsim

import (
	"errors"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// changedAreasPerCall bounds one answer: callers have to ask again from where
// it ends.
const changedAreasPerCall = 64

// QueryChangedDiskAreas tells what changed on a disk between a change id and a
// snapshot, or with "*" what is allocated.
func (a *api) QueryChangedDiskAreas(ctx *simulator.Context, req *types.QueryChangedDiskAreas) soap.HasFault {
	body := &methods.QueryChangedDiskAreasBody{}
	var m *image
	vm := a.srv.vm(req.This)
	ctx.WithLock(vm, func() {
		running := vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff
		for _, dev := range vm.Config.Hardware.Device {
			if d, b := flatDisk(dev); d != nil && d.Key == req.DeviceKey && (req.Snapshot != nil || !running) {
				m, _ = a.srv.image(vm.Self, d, b)
			}
		}
	})
	if m == nil || req.StartOffset < 0 || req.StartOffset >= m.size {
		body.Fault_ = simulator.Fault("A specified parameter was not correct.", &types.InvalidArgument{InvalidProperty: "deviceKey"})
		return body
	}
	changed, err := m.changed(req.ChangeId, req.Snapshot)
	if err != nil {
		var fault types.BaseMethodFault = &types.FileFault{File: m.name}
		if errors.Is(err, errGone) {
			fault = &types.ManagedObjectNotFound{Obj: *req.Snapshot}
		}
		body.Fault_ = simulator.Fault("Error caused by file "+m.name, fault)
		return body
	}
	body.Res = &types.QueryChangedDiskAreasResponse{Returnval: m.areas(changed, req.StartOffset)}
	return body
}

// areas makes one page of an answer.
func (m *image) areas(changed bitmap, start int64) types.DiskChangeInfo {
	info := types.DiskChangeInfo{StartOffset: start, Length: m.size - start}
	for block, n := range changed.runs(start / blockSize) {
		from := max(start, block*blockSize)
		if len(info.ChangedArea) == changedAreasPerCall {
			info.Length = from - start
			break
		}
		info.ChangedArea = append(info.ChangedArea, types.DiskChangeExtent{
			Start: from, Length: min(m.size, (block+n)*blockSize) - from,
		})
	}
	return info
}

package vcsim

import (
	"maps"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// ExportVm opens a lease on a powered-off machine.
func (a *api) ExportVm(ctx *simulator.Context, req *types.ExportVm) soap.HasFault { //nolint:revive // found by this name
	vm := a.srv.vm(req.This)
	body := &methods.ExportVmBody{}
	ctx.WithLock(vm, func() {
		if state := vm.Runtime.PowerState; state != types.VirtualMachinePowerStatePoweredOff {
			body.Fault_ = simulator.Fault("The attempted operation cannot be performed in the current state (Powered on).",
				&types.InvalidPowerState{RequestedState: types.VirtualMachinePowerStatePoweredOff, ExistingState: state})
			return
		}
		l, err := a.srv.newLease(ctx, vm, vm.Config, nil)
		if err != nil {
			body.Fault_ = simulator.Fault(err.Error(), &types.FileFault{})
			return
		}
		body.Res = &types.ExportVmResponse{Returnval: l.Self}
	})
	return body
}

// ExportSnapshot opens a lease on a snapshot, whatever the machine does.
func (a *api) ExportSnapshot(ctx *simulator.Context, req *types.ExportSnapshot) soap.HasFault {
	body := &methods.ExportSnapshotBody{}
	snapshot, ok := a.srv.registry.Get(req.This).(*simulator.VirtualMachineSnapshot)
	if !ok {
		body.Fault_ = simulator.Fault("", &types.ManagedObjectNotFound{Obj: req.This})
		return body
	}
	vm := a.srv.vm(snapshot.Vm)
	ctx.WithLock(vm, func() {
		l, err := a.srv.newLease(ctx, vm, &snapshot.Config, &req.This)
		if err != nil {
			body.Fault_ = simulator.Fault(err.Error(), &types.FileFault{})
			return
		}
		body.Res = &types.ExportSnapshotResponse{Returnval: l.Self}
	})
	return body
}

// PowerOnVMTask refuses while a lease on the machine is open.
func (a *api) PowerOnVMTask(ctx *simulator.Context, req *types.PowerOnVM_Task) soap.HasFault {
	if a.srv.leased(req.This, nil) {
		return &methods.PowerOnVM_TaskBody{Fault_: simulator.Fault("Another task is already in progress.", &types.TaskInProgress{})}
	}
	return a.srv.vm(req.This).PowerOnVMTask(ctx, req)
}

// refusal is the fault of a call on a lease that is over, or nil. The caller
// holds the lease's lock, as the simulator does around every method.
func (l *lease) refusal() *soap.Fault {
	if !l.over() {
		return nil
	}
	if l.Error != nil {
		if f, ok := l.Error.Fault.(*types.Timedout); ok {
			return simulator.Fault(l.Error.LocalizedMessage, f)
		}
	}
	return simulator.Fault("The operation is not allowed in the current state.", &types.InvalidState{})
}

// HttpNfcLeaseProgress renews the lease.
func (l *lease) HttpNfcLeaseProgress(ctx *simulator.Context, req *types.HttpNfcLeaseProgress) soap.HasFault { //nolint:revive // found by this name
	if f := l.refusal(); f != nil {
		return &methods.HttpNfcLeaseProgressBody{Fault_: f}
	}
	l.clock.Reset(l.srv.opts.LeaseTimeout)
	ctx.Update(l, []types.PropertyChange{{Name: "transferProgress", Val: req.Percent}})
	return &methods.HttpNfcLeaseProgressBody{Res: &types.HttpNfcLeaseProgressResponse{}}
}

// HttpNfcLeaseComplete ends the lease.
func (l *lease) HttpNfcLeaseComplete(ctx *simulator.Context, _ *types.HttpNfcLeaseComplete) soap.HasFault { //nolint:revive // found by this name
	if f := l.refusal(); f != nil {
		return &methods.HttpNfcLeaseCompleteBody{Fault_: f}
	}
	l.endLocked(ctx, types.HttpNfcLeaseStateDone, nil, "")
	return &methods.HttpNfcLeaseCompleteBody{Res: &types.HttpNfcLeaseCompleteResponse{}}
}

// HttpNfcLeaseAbort ends the lease with an error.
func (l *lease) HttpNfcLeaseAbort(ctx *simulator.Context, req *types.HttpNfcLeaseAbort) soap.HasFault { //nolint:revive // found by this name
	if f := l.refusal(); f != nil {
		return &methods.HttpNfcLeaseAbortBody{Fault_: f}
	}
	var cause types.BaseMethodFault = &types.RequestCanceled{}
	msg := "The lease was aborted."
	if req.Fault != nil && req.Fault.Fault != nil {
		cause, msg = req.Fault.Fault, req.Fault.LocalizedMessage
	}
	l.endLocked(ctx, types.HttpNfcLeaseStateError, cause, msg)
	return &methods.HttpNfcLeaseAbortBody{Res: &types.HttpNfcLeaseAbortResponse{}}
}

// HttpNfcLeaseSetManifestChecksumType asks for more than SHA-1 in the manifest,
// for what is sent from now on.
func (l *lease) HttpNfcLeaseSetManifestChecksumType(_ *simulator.Context, req *types.HttpNfcLeaseSetManifestChecksumType) soap.HasFault { //nolint:revive // found by this name
	if f := l.refusal(); f != nil {
		return &methods.HttpNfcLeaseSetManifestChecksumTypeBody{Fault_: f}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, kv := range req.DeviceUrlsToChecksumTypes {
		known := slices.ContainsFunc(l.items, func(it item) bool { return it.key == kv.Key })
		if !known || !slices.Contains(types.HttpNfcLeaseManifestEntryChecksumType("").Strings(), kv.Value) {
			return &methods.HttpNfcLeaseSetManifestChecksumTypeBody{
				Fault_: simulator.Fault("A specified parameter was not correct.", &types.InvalidArgument{InvalidProperty: "deviceUrlsToChecksumTypes"}),
			}
		}
		l.sums[kv.Key] = kv.Value
	}
	return &methods.HttpNfcLeaseSetManifestChecksumTypeBody{Res: &types.HttpNfcLeaseSetManifestChecksumTypeResponse{}}
}

// HttpNfcLeaseGetManifest tells what was sent completely.
func (l *lease) HttpNfcLeaseGetManifest(*simulator.Context, *types.HttpNfcLeaseGetManifest) soap.HasFault { //nolint:revive // found by this name
	if f := l.refusal(); f != nil {
		return &methods.HttpNfcLeaseGetManifestBody{Fault_: f}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	entries := make([]types.HttpNfcLeaseManifestEntry, 0, len(l.manifest))
	for _, key := range slices.Sorted(maps.Keys(l.manifest)) {
		entries = append(entries, l.manifest[key])
	}
	return &methods.HttpNfcLeaseGetManifestBody{Res: &types.HttpNfcLeaseGetManifestResponse{Returnval: entries}}
}

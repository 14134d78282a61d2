package vsphere

import (
	"context"
	"time"

	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// shutdownTime is how long a guest has to shut down before its power is cut.
const shutdownTime = 5 * time.Minute

// powerOff shuts the guest down, or cuts the power where no VMware Tools run or
// the guest does not follow. The VM stays off: the user asked for it.
func (p *Provider) powerOff(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference) error {
	state, err := readOne[mo.VirtualMachine](ctx, c, vm, "name", "guest.toolsRunningStatus")
	if err != nil {
		return classify(ctx, err, "read the state of the guest")
	}
	tools := string(types.VirtualMachineToolsRunningStatusGuestToolsRunning)
	if state.Guest != nil && state.Guest.ToolsRunningStatus == tools {
		if off, err := p.shutdown(ctx, c, vm); off || err != nil {
			return err
		}
		p.log.WarnContext(ctx, "the guest did not shut down, its power is cut", "vm", state.Name)
	}
	res, err := methods.PowerOffVM_Task(ctx, c, &types.PowerOffVM_Task{This: vm})
	if err == nil {
		_, err = waitTask(ctx, c, res.Returnval)
	}
	var already *types.InvalidPowerState
	if _, ok := vimfault.As(err, &already); ok && already.ExistingState == types.VirtualMachinePowerStatePoweredOff {
		return nil
	}
	return classify(ctx, err, "power the VM off")
}

// shutdown asks the guest to shut down and tells whether it did in time.
func (p *Provider) shutdown(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference) (bool, error) {
	if _, err := methods.ShutdownGuest(ctx, c, &types.ShutdownGuest{This: vm}); err != nil {
		p.log.InfoContext(ctx, "the guest cannot be shut down", "error", err)
		return false, nil
	}
	patience, cancel := context.WithTimeout(ctx, shutdownTime)
	defer cancel()
	wait := backoff{first: 20 * time.Millisecond, most: 2 * time.Second}
	for {
		state, err := readOne[mo.VirtualMachine](ctx, c, vm, "runtime.powerState")
		if err != nil {
			return false, classify(ctx, err, "wait for the guest to shut down")
		}
		if state.Runtime.PowerState == types.VirtualMachinePowerStatePoweredOff {
			return true, nil
		}
		if wait.sleep(patience) != nil {
			return false, context.Cause(ctx)
		}
	}
}

package vcsim

import (
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// inner waits for a task that this package started, and removes it: clients
// see only the task that they asked for.
func inner(ctx *simulator.Context, ref types.ManagedObjectReference) (types.AnyType, types.BaseMethodFault) {
	task, ok := ctx.Map.Get(ref).(*simulator.Task)
	if !ok {
		return nil, &types.ManagedObjectNotFound{Obj: ref}
	}
	defer ctx.Map.Remove(ctx, ref)
	for {
		if info := infoOf(ctx, task); info.State == types.TaskInfoStateSuccess {
			return info.Result, nil
		} else if info.State == types.TaskInfoStateError {
			return nil, faultOf(info)
		}
		time.Sleep(500 * time.Microsecond) // Task.Wait does the same, ten times slower
	}
}

// infoOf reads a task's state under its lock, on behalf of nobody: the task
// changes it on behalf of ctx.
func infoOf(ctx *simulator.Context, task *simulator.Task) types.TaskInfo {
	var info types.TaskInfo
	ctx.Map.WithLock(&simulator.Context{}, task, func() { info = task.Info })
	return info
}

func faultOf(info types.TaskInfo) types.BaseMethodFault {
	if info.Error == nil || info.Error.Fault == nil {
		return &types.SystemError{}
	}
	return info.Error.Fault
}

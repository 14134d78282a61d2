package vsphere

import (
	"context"
	"time"

	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// waitTask waits until a task has ended and returns its result. It polls: a
// filter of the property collector would be lost with the session.
func waitTask(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) (types.AnyType, error) {
	wait := backoff{first: 20 * time.Millisecond, most: time.Second}
	for {
		t, err := readOne[mo.Task](ctx, c, ref, "info")
		if err != nil {
			return nil, err
		}
		switch t.Info.State {
		case types.TaskInfoStateSuccess:
			return t.Info.Result, nil
		case types.TaskInfoStateError:
			return nil, &task.Error{LocalizedMethodFault: t.Info.Error}
		}
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
	}
}

package vsphere

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

const (
	// cleanupTime bounds what is cleaned up after the caller's context has ended.
	// A process that was killed leaves an NFC lease that only its time-out ends,
	// 300 s; until then the snapshot below it cannot be removed.
	cleanupTime = 6 * time.Minute
	// startTime bounds a call that only starts work.
	startTime = 30 * time.Second
	// removeTries is how often a snapshot's removal is tried: some six minutes.
	removeTries = 44
)

// snapshotName is what vCenter shows to its users.
func snapshotName(jobID string) string { return "hypervisord-" + jobID }

// freeze makes a snapshot without memory and without quiescing the guest: what
// is on the disks is as after a power cut. It is in the ledger before it is
// made. On an error nothing is left, or the ledger still knows it.
func (p *Provider) freeze(ctx context.Context, c *vim25.Client, m *machine, o *provider.OpenOptions) (token, error) {
	ref := snapshotRef{
		VCenter: c.ServiceContent.About.InstanceUuid, VM: m.ID,
		Name: snapshotName(o.JobID), Nonce: uuid.NewString(),
	}
	// One runner works on a job at a time, so a snapshot with its name is what
	// an earlier attempt left behind.
	if err := p.removeLeftovers(ctx, c, m.ref, ref.Name); err != nil {
		return token{}, err
	}
	id, err := o.Ledger.Intend(ctx, kindSnapshot, encode(ref))
	if err != nil {
		return token{}, fmt.Errorf("record the snapshot: %w", err)
	}
	t := token{snapshotRef: ref, Ledger: id}
	started, err := startSnapshot(ctx, c, m.ref, &ref)
	if err != nil && !soap.IsSoapFault(err) {
		// The call may still be carried out. The ledger's entry stays, so that
		// the janitor looks again.
		return token{}, classify(ctx, err, "make a snapshot of "+m.Path)
	}
	if err == nil {
		t.Snapshot, err = snapshotOf(ctx, c, started)
	}
	if err == nil {
		err = o.Ledger.Amend(ctx, id, encode(t.snapshotRef))
	}
	if err != nil {
		err = classify(ctx, err, "make a snapshot of "+m.Path)
		return token{}, errors.Join(err, p.unfreeze(ctx, o.Ledger, &t))
	}
	return t, nil
}

// startSnapshot starts the task. A cancel does not interrupt the call: then
// nobody would know whether the task runs.
func startSnapshot(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference, ref *snapshotRef) (types.ManagedObjectReference, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
	defer cancel()
	res, err := methods.CreateSnapshot_Task(ctx, c, &types.CreateSnapshot_Task{
		This: vm, Name: ref.Name, Description: ref.description(),
	})
	if err != nil {
		return types.ManagedObjectReference{}, err
	}
	return res.Returnval, nil
}

// snapshotOf waits for the task and returns the MoRef of what it made.
func snapshotOf(ctx context.Context, c *vim25.Client, started types.ManagedObjectReference) (string, error) {
	result, err := waitTask(ctx, c, started)
	if err != nil {
		return "", err
	}
	made, ok := result.(types.ManagedObjectReference)
	if !ok {
		return "", fault.New(fault.Internal, "HX-VSPHERE-061", "vCenter made a snapshot, but does not say which", "")
	}
	return made.Value, nil
}

// unfreeze removes the snapshot and settles its ledger entry. It works after
// ctx has ended, for a bounded time. What it cannot do stays in the ledger.
func (p *Provider) unfreeze(ctx context.Context, ledger provider.Ledger, t *token) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	if err := p.settleSnapshot(ctx, &t.snapshotRef); err != nil {
		return err
	}
	if err := ledger.Settle(ctx, t.Ledger); err != nil {
		return fmt.Errorf("record that the snapshot is gone: %w", err)
	}
	return nil
}

// cleanup returns ctx, or if that has ended a context that lives cleanupTime.
func cleanup(ctx context.Context) (context.Context, context.CancelFunc) {
	if ctx.Err() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(context.WithoutCancel(ctx), cleanupTime)
}

// settleSnapshot removes what ref describes. It waits for a creation that may
// still run: a crash, or a cut connection, does not stop the task.
func (p *Provider) settleSnapshot(ctx context.Context, ref *snapshotRef) error {
	c, err := p.login.connect(ctx)
	if err != nil {
		return err
	}
	if id := c.ServiceContent.About.InstanceUuid; ref.VCenter != id {
		return fault.Newf(fault.Unprocessable, "HX-VSPHERE-062", "configure that vCenter again, or delete the snapshot "+ref.Name+" of "+ref.VM+" by hand",
			"a snapshot was left on another vCenter (%s; this one is %s)", ref.VCenter, id)
	}
	vm := types.ManagedObjectReference{Type: "VirtualMachine", Value: ref.VM}
	if err := awaitSnapshotTasks(ctx, c, vm); err != nil {
		return ignoreGone(ctx, err, "wait for the tasks of "+ref.VM)
	}
	state, err := readOne[mo.VirtualMachine](ctx, c, vm, "name", "snapshot")
	if err != nil {
		return ignoreGone(ctx, err, "look for the snapshots of "+ref.VM)
	}
	return p.removeAll(ctx, c, vm, ref.find(&state))
}

// removeLeftovers removes the snapshots of that name, whoever of us made them.
func (p *Provider) removeLeftovers(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference, name string) error {
	state, err := readOne[mo.VirtualMachine](ctx, c, vm, "name", "snapshot")
	if err != nil {
		return classify(ctx, err, "look for snapshots of an earlier attempt")
	}
	var left []types.ManagedObjectReference
	for s := range snapshots(state.Snapshot) {
		if s.Name == name {
			left = append(left, s.Snapshot)
		}
	}
	return p.removeAll(ctx, c, vm, left)
}

func (p *Provider) removeAll(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference, list []types.ManagedObjectReference) error {
	for _, s := range list {
		if err := p.remove(ctx, c, s); err != nil {
			return err
		}
	}
	if len(list) > 0 {
		p.consolidate(ctx, c, vm)
	}
	return nil
}

// remove deletes one snapshot and merges its delta. Another task on the VM, or
// a network that fails for a moment, is waited out until ctx ends.
func (p *Provider) remove(ctx context.Context, c *vim25.Client, snapshot types.ManagedObjectReference) error {
	wait := backoff{first: 200 * time.Millisecond, most: 10 * time.Second}
	for n := 1; ; n++ {
		res, err := methods.RemoveSnapshot_Task(ctx, c, &types.RemoveSnapshot_Task{
			This: snapshot, RemoveChildren: false, Consolidate: new(true),
		})
		if err == nil {
			_, err = waitTask(ctx, c, res.Returnval)
		}
		err = ignoreGone(ctx, err, "remove the snapshot "+snapshot.Value)
		if err == nil || !fault.KindOf(err).Retryable() || n == removeTries {
			return err
		}
		p.log.InfoContext(ctx, "removing a snapshot is repeated", "snapshot", snapshot.Value, "error", err)
		p.observer.retry("soap")
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// consolidate merges delta files that a removal left behind, as happens when
// another backup held a lock. A failure is for the administrator: the export
// itself is not harmed.
func (p *Provider) consolidate(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference) {
	state, err := readOne[mo.VirtualMachine](ctx, c, vm, "name", "runtime.consolidationNeeded")
	if err != nil || !state.Runtime.ConsolidationNeeded {
		return
	}
	res, err := methods.ConsolidateVMDisks_Task(ctx, c, &types.ConsolidateVMDisks_Task{This: vm})
	if err == nil {
		_, err = waitTask(ctx, c, res.Returnval)
	}
	if err != nil {
		p.log.WarnContext(ctx, "the VM's disks need consolidation, and vCenter could not do it",
			"vm", state.Name, "error", err, "fix", "consolidate the disks of the VM in vCenter")
	}
}

// awaitSnapshotTasks waits until no creation of a snapshot runs on the VM.
func awaitSnapshotTasks(ctx context.Context, c *vim25.Client, vm types.ManagedObjectReference) error {
	state, err := readOne[mo.VirtualMachine](ctx, c, vm, "name", "recentTask")
	if err != nil || len(state.RecentTask) == 0 {
		return err
	}
	tasks, err := read[mo.Task](ctx, c, state.RecentTask, "info")
	if err != nil {
		return err
	}
	for _, t := range tasks {
		if !strings.HasPrefix(t.Info.DescriptionId, "VirtualMachine.createSnapshot") {
			continue
		}
		var failed *task.Error
		if _, err := waitTask(ctx, c, t.Info.Task); err != nil && !errors.As(err, &failed) {
			return err
		}
	}
	return nil
}

// ignoreGone is classify, except that an object that does not exist is no error.
func ignoreGone(ctx context.Context, err error, doing string) error {
	if vimfault.Is(err, &types.ManagedObjectNotFound{}) {
		return nil
	}
	return classify(ctx, err, doing)
}

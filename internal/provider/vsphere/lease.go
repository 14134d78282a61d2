package vsphere

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	vimfault "github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/task"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

const (
	// readyTime is how long vCenter has to prepare a lease.
	readyTime = 5 * time.Minute
	// renewEvery is the longest interval between two progress calls; a third of
	// the lease's own timeout if that is less.
	renewEvery = 20 * time.Second
)

// lease is an HTTP-NFC lease: while it is held, vCenter refuses to change the
// VM, and its URLs deliver the disks.
type lease struct {
	ref    types.ManagedObjectReference
	info   types.HttpNfcLeaseInfo
	disks  int // of the VM, excluded ones too
	client *vim25.Client
	ledger provider.Ledger
	entry  string
	log    *slog.Logger

	percent atomic.Int32
	// lost ends when vCenter has ended the lease; its cause says why.
	lost  context.Context //nolint:containedctx // the lease's own life
	lose  context.CancelCauseFunc
	alive sync.WaitGroup
}

// lease asks for an export of the snapshot, or of the VM if there is none, and
// waits until it may be read. The caller ends it. On an error nothing is left,
// or the ledger still knows it.
func (z *frozen) lease(ctx context.Context) (*lease, error) {
	c, err := z.login.connect(ctx)
	if err != nil {
		return nil, err
	}
	ref := leaseRef{VCenter: z.vcenter, VM: z.machine.ID}
	entry, err := z.options.Ledger.Intend(ctx, kindLease, encode(ref))
	if err != nil {
		return nil, fmt.Errorf("record the lease: %w", err)
	}
	l := &lease{client: c, ledger: z.options.Ledger, entry: entry, log: z.log, disks: z.machine.disks}
	l.lost, l.lose = context.WithCancelCause(context.WithoutCancel(ctx))
	if err = z.export(ctx, l); err == nil {
		ref.Lease = l.ref.Value
		if err = l.ledger.Amend(ctx, entry, encode(ref)); err == nil {
			err = l.ready(ctx)
		}
	}
	if err != nil {
		err = classify(ctx, err, "export "+z.machine.Path+" by an NFC lease")
		return nil, errors.Join(err, l.end(ctx, false))
	}
	l.alive.Go(l.keep)
	return l, nil
}

// export makes the lease. A cancel does not interrupt the call: a lease whose
// MoRef did not arrive would lock the VM for minutes.
func (z *frozen) export(ctx context.Context, l *lease) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), startTime)
	defer cancel()
	if z.snapshot.Value != "" {
		res, err := methods.ExportSnapshot(ctx, l.client, &types.ExportSnapshot{This: z.snapshot})
		if err == nil {
			l.ref = res.Returnval
		}
		return err
	}
	res, err := methods.ExportVm(ctx, l.client, &types.ExportVm{This: z.machine.ref})
	if err == nil {
		l.ref = res.Returnval
	}
	return err
}

// ready waits until the lease has left the state initializing.
func (l *lease) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, readyTime, fault.New(fault.Timeout, "HX-VSPHERE-070",
		"vCenter did not prepare the export in time", "look at the tasks of the VM and at the host's load"))
	defer cancel()
	wait := backoff{first: 20 * time.Millisecond, most: time.Second}
	for {
		state, err := readOne[mo.HttpNfcLease](ctx, l.client, l.ref, "state", "info", "error")
		switch {
		case err != nil:
			return err
		case state.State == types.HttpNfcLeaseStateReady && state.Info != nil:
			l.info = *state.Info
			return nil
		case state.Error != nil:
			return &task.Error{LocalizedMethodFault: state.Error}
		case state.State != types.HttpNfcLeaseStateInitializing:
			return fault.Newf(fault.Unavailable, "HX-VSPHERE-071", "retry", "the NFC lease is %s", state.State)
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// keep renews the lease until it is lost or ended, whether bytes move or not.
// An error is waited out as long as the lease may still live.
func (l *lease) keep() {
	timeout := time.Duration(max(l.info.LeaseTimeout, 1)) * time.Second
	interval := min(renewEvery, timeout/3)
	renewed := time.Now()
	timer := time.NewTimer(interval)
	defer timer.Stop()
	for {
		select {
		case <-l.lost.Done():
			return
		case <-timer.C:
		}
		err := l.renew(timeout / 2)
		next := interval
		switch {
		case err == nil:
			renewed = time.Now()
		case l.lost.Err() != nil:
			return
		case ended(err) || time.Since(renewed) > timeout:
			l.lose(fault.Wrap(err, fault.Unavailable, "HX-VSPHERE-072", "vCenter has ended the NFC lease",
				"the disk is read again from its start; if it stays, look at the VM's events in vCenter"))
			return
		default:
			l.log.WarnContext(l.lost, "an NFC lease could not be renewed, trying again", "lease", l.ref.Value, "error", err)
			next = interval / 4
		}
		timer.Reset(next)
	}
}

// renew makes one progress call; it renews the lease whatever the percentage.
func (l *lease) renew(patience time.Duration) error {
	ctx, cancel := context.WithTimeout(l.lost, min(patience, startTime))
	defer cancel()
	_, err := methods.HttpNfcLeaseProgress(ctx, l.client, &types.HttpNfcLeaseProgress{This: l.ref, Percent: l.percent.Load()})
	return err
}

// ended tells whether a fault means that the lease is no more.
func ended(err error) bool {
	return vimfault.Is(err, &types.ManagedObjectNotFound{}) || vimfault.Is(err, &types.InvalidState{}) ||
		vimfault.Is(err, &types.Timedout{})
}

// end gives the VM free: completed after a success, aborted otherwise, which
// also drops what is still being sent. It works after ctx has ended. Idempotent
// as far as vCenter is: a lease that is gone is ended.
func (l *lease) end(ctx context.Context, success bool) error {
	ctx, cancel := cleanup(ctx)
	defer cancel()
	l.lose(context.Canceled)
	l.alive.Wait()
	var err error
	switch {
	case l.ref.Value == "": // it was never made
	case success:
		_, err = methods.HttpNfcLeaseComplete(ctx, l.client, &types.HttpNfcLeaseComplete{This: l.ref})
	default:
		err = abort(ctx, l.client, l.ref)
	}
	if err != nil && !ended(err) {
		return classify(ctx, err, "end an NFC lease")
	}
	if err := l.ledger.Settle(ctx, l.entry); err != nil {
		return fmt.Errorf("record that the lease is gone: %w", err)
	}
	return nil
}

func abort(ctx context.Context, c *vim25.Client, ref types.ManagedObjectReference) error {
	_, err := methods.HttpNfcLeaseAbort(ctx, c, &types.HttpNfcLeaseAbort{This: ref})
	return err
}

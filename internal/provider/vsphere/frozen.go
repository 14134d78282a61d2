package vsphere

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// frozen is a VM at one point in time: behind a snapshot, or locked by a lease.
type frozen struct {
	*Provider

	machine  machine
	options  provider.OpenOptions
	vcenter  string // instance UUID
	token    token
	snapshot types.ManagedObjectReference // zero without a snapshot
	shared   *lease                       // without a snapshot: the lock, and the lease of all streams

	mu    sync.Mutex
	stuck []*lease // could not be ended; they would hold the snapshot
	done  bool
}

var _ provider.Snapshot = (*frozen)(nil)

// VM describes the VM as frozen.
func (z *frozen) VM() provider.VM { return z.machine.VM }

// Token lets Open find the snapshot again. Without one there is nothing to find.
func (z *frozen) Token() []byte {
	t := z.token
	t.VCenter, t.VM = z.vcenter, z.machine.ID
	return []byte(encode(t))
}

// Disk opens one disk, and chooses how its bytes come. Kinds: NotFound (no such
// disk), Unprocessable (the transport that was asked for is not possible).
func (z *frozen) Disk(ctx context.Context, key string) (disk.Source, error) {
	i := slices.IndexFunc(z.machine.volumes, func(v volume) bool { return v.Key == key })
	if i < 0 {
		return nil, fault.Newf(fault.NotFound, "HX-VSPHERE-068", "", "%s has no disk %q", z.machine.Path, key)
	}
	v := &z.machine.volumes[i]
	f, why, err := z.reach(ctx, v)
	if err != nil {
		return nil, err
	}
	info := disk.Info{
		Key: v.Key, Name: v.Label, Size: v.CapacityBytes, Used: v.UsedBytes, Identity: z.identity(v),
		Transport: provider.TransportNFC, Reason: why,
	}
	if f != nil {
		info.Transport = provider.TransportRange
	}
	z.log.InfoContext(ctx, "transport chosen", "vm", z.machine.Path, "disk", v.Key, "transport", info.Transport, "reason", why)
	if f != nil {
		return &rangeSource{frozen: z, volume: v, file: f, info: info, known: z.tracked(v)}, nil
	}
	return &nfcSource{frozen: z, volume: v, info: info}, nil
}

// reach decides on the transport: a file means range, nil means nfc. why says
// the reason in words.
func (z *frozen) reach(ctx context.Context, v *volume) (f *file, why string, err error) {
	if z.options.Transport == provider.TransportNFC {
		return nil, "asked for", nil
	}
	why = z.unreachable(v)
	if why == "" {
		f, err = z.login.open(ctx, z.machine.inv.datastores[v.store], strings.TrimSuffix(v.Path, ".vmdk")+"-flat.vmdk", z.options.Limit)
		switch {
		case ctx.Err() != nil:
			return nil, "", context.Cause(ctx)
		case fault.Is(err, fault.Unauthenticated),
			fault.KindOf(err).Retryable() && z.options.Transport == provider.TransportRange:
			return nil, "", err
		case err != nil:
			why = "its file cannot be read from the datastore: " + err.Error()
		case f.size != v.CapacityBytes:
			f, why = nil, fmt.Sprintf("its file has %d bytes, the disk %d", f.size, v.CapacityBytes)
		}
	}
	switch {
	case f != nil && z.tracked(v):
		return f, "flat file on " + v.Datastore + "; only what changed block tracking calls allocated is read", nil
	case f != nil:
		return f, "flat file on " + v.Datastore, nil
	case z.options.Transport == provider.TransportRange:
		return nil, "", fault.Newf(fault.Unprocessable, "HX-VSPHERE-069", "use transport auto or nfc",
			"%s of %s cannot be read by transport range: %s", v.Label, z.machine.Path, why)
	}
	return nil, why, nil
}

// unreachable tells why the disk has no file that holds its frozen content as
// it is; empty if it has one.
func (z *frozen) unreachable(v *volume) string {
	store := z.machine.inv.datastores[v.store]
	switch {
	case z.snapshot.Value == "":
		return "there is no snapshot that keeps the file as it is"
	case !slices.Contains([]string{"VMFS", "NFS", "NFS41"}, store.kind):
		return "a datastore of type " + store.kind + " does not give out disk files"
	case store.datacenter == "":
		return "the account does not see the datacenter of " + store.name
	case v.chained:
		return "older snapshots: the content is spread over several files"
	case v.Backing != "flat" || v.split:
		return "its file is of the kind " + v.Backing
	}
	return ""
}

// tracked tells whether changed block tracking covers the disk since before the
// snapshot.
func (z *frozen) tracked(v *volume) bool {
	return z.machine.CBT && v.ChangeID != "" && !z.cfg.IgnoreCBT
}

// identity changes whenever the content may have: it names the snapshot. A VM
// that is only locked has one of its own for each Open.
func (z *frozen) identity(v *volume) string {
	point := z.token.Nonce
	if z.shared != nil {
		point = z.shared.ref.Value
	}
	return strings.Join([]string{z.vcenter, z.machine.UUID, v.Key, v.UUID, point, strconv.FormatInt(v.CapacityBytes, 10)}, "/")
}

// stands makes sure that the snapshot still exists and is ours: kind Conflict
// if not.
func (z *frozen) stands(ctx context.Context) error {
	c, err := z.login.connect(ctx)
	if err != nil {
		return err
	}
	state, err := readOne[mo.VirtualMachine](ctx, c, z.machine.ref, "name", "snapshot")
	if err != nil {
		return classify(ctx, err, "look for the snapshot of "+z.machine.Path)
	}
	want := types.ManagedObjectReference{Type: "VirtualMachineSnapshot", Value: z.token.Snapshot}
	if !slices.Contains(z.token.find(&state), want) {
		return gone("the snapshot " + z.token.Name + " of " + z.machine.Path + " was removed by somebody else")
	}
	return nil
}

// Close removes the snapshot, or gives the VM free again, and settles the
// ledger. It is idempotent; after an error it may be tried again, and the
// ledger still knows what is left.
func (z *frozen) Close(ctx context.Context) error {
	z.mu.Lock()
	defer z.mu.Unlock()
	if z.done {
		return nil
	}
	for len(z.stuck) > 0 {
		if err := z.stuck[0].end(ctx, false); err != nil {
			return err
		}
		z.stuck = z.stuck[1:]
	}
	var err error
	if z.shared != nil {
		err = z.shared.end(ctx, false)
	} else {
		err = z.unfreeze(ctx, z.options.Ledger, &z.token)
	}
	z.done = err == nil
	return err
}

// Detach leaves the snapshot for a later Open with Resume. A lock cannot
// outlive this process, so it is given up.
func (z *frozen) Detach(ctx context.Context) error {
	if z.shared != nil {
		return z.Close(ctx)
	}
	return nil
}

package step

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/tracing"
)

const (
	parallelDisks = 2               // per job, where the format has a file for each
	closeTimeout  = 6 * time.Minute // longer than a dead NFC lease lives
)

// copy freezes the VM, writes every file of the output and lets the VM go.
func (r *run) copy(ctx context.Context) error {
	unlimited := r.limited(ctx)
	defer unlimited()
	snap, err := r.open(ctx)
	if err != nil {
		return err
	}
	err = r.write(ctx, snap)
	if fault.Is(err, fault.Conflict) && context.Cause(ctx) == nil {
		// The disks are not the ones that the interrupted run read.
		r.log.WarnContext(ctx, "starting over", "reason", fault.Detail(err))
		if err = errors.Join(r.release(ctx, snap), r.restart(ctx)); err != nil {
			return err
		}
		return nil // the loop in Run comes back to this phase
	}
	if err != nil {
		return errors.Join(err, snap.Detach(context.WithoutCancel(ctx)))
	}
	r.st.Phase, r.st.Snapshot = phaseVerify, nil
	if err := r.save(ctx); err != nil {
		return errors.Join(err, snap.Detach(context.WithoutCancel(ctx)))
	}
	return errors.Join(r.release(ctx, snap), r.freeHost(ctx))
}

// release removes the snapshot, with time of its own: a cancel must not leave it.
func (r *run) release(ctx context.Context, snap provider.Snapshot) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	ctx, span := tracing.Start(ctx, "release VM")
	err := snap.Close(ctx)
	span.End(err)
	return err
}

// open freezes the VM, or finds the frozen one of an earlier run.
func (r *run) open(ctx context.Context) (provider.Snapshot, error) {
	vm := r.st.VM
	var err error
	if vm.ID == "" {
		vm, err = r.find(ctx)
	} else {
		vm, err = r.whereabouts(ctx)
	}
	if err == nil {
		err = r.takeHost(ctx, vm.Host)
	}
	if err != nil {
		return nil, err
	}
	spec := r.t.Job.Spec
	o := provider.OpenOptions{JobID: r.t.Job.ID, PowerOff: spec.PowerOff, Transport: spec.Transport,
		ExcludeDisks: spec.ExcludeDisks, Ledger: r.t.Ledger, Limit: r.meter.pace.wait, Resume: r.st.Snapshot}
	inner, span := tracing.Start(ctx, "freeze VM")
	snap, err := r.prov.Open(inner, vm, o)
	span.End(err)
	if fault.Is(err, fault.Conflict) && o.Resume != nil {
		r.log.WarnContext(ctx, "starting over", "reason", fault.Detail(err))
		if err := r.restart(ctx); err != nil {
			return nil, err
		}
		return r.open(ctx)
	}
	if err != nil {
		return nil, err
	}
	r.st.VM, r.st.Snapshot = snap.VM(), snap.Token()
	if err := r.save(ctx); err != nil {
		return nil, errors.Join(err, snap.Detach(context.WithoutCancel(ctx)))
	}
	return snap, nil
}

// find looks the VM up, refuses what cannot be exported, and takes the staging
// area: what can be known to fail fails before anything is made on vCenter.
func (r *run) find(ctx context.Context) (provider.VM, error) {
	vm, err := r.prov.Find(ctx, r.t.Job.Spec.VMPath)
	if err != nil {
		return vm, err
	}
	for _, b := range vm.Blockers {
		if b.Fatal {
			return vm, fault.Newf(fault.Unprocessable, "HX-EXPORT-005", b.Fix, "%s cannot be exported: %s", vm.Path, b.Msg)
		}
		r.log.WarnContext(ctx, "the export will lack something", "vm", vm.Path, "what", b.Msg, "fix", b.Fix)
	}
	name := r.t.Job.Spec.Name
	if name == "" {
		name = vm.Name
	}
	r.st.VM, r.st.Name = vm, sink.CleanName(name)
	if err := r.save(ctx); err != nil {
		return vm, err
	}
	_, err = r.openStage(ctx)
	return vm, err
}

// write fills the stage.
func (r *run) write(ctx context.Context, snap provider.Snapshot) error {
	if _, err := r.openStage(ctx); err != nil {
		return err
	}
	vm := snap.VM()
	if len(vm.Disks) == 0 {
		return fault.New(fault.Unprocessable, "HX-EXPORT-006", vm.Path+" has no disk to export", "check exclude_disks")
	}
	shown := make([]job.DiskProgress, len(vm.Disks))
	for i, d := range vm.Disks {
		_, done := r.st.disk(d.Key)
		shown[i] = job.DiskProgress{Key: d.Key, Name: d.Label, BytesTotal: d.CapacityBytes, Done: done}
	}
	counters := r.meter.begin(phaseCopy, shown)
	l, err := r.layout(vm)
	if err != nil {
		return err
	}
	return errors.Join(r.fill(ctx, snap, l, counters), l.close())
}

// fill writes all files by the layout.
func (r *run) fill(ctx context.Context, snap provider.Snapshot, l layout, counters []*disk.Counters) error {
	if err := r.save(ctx); err != nil { // the layout's state, before its first checkpoint
		return err
	}
	var mu sync.Mutex // of r.st, from the first goroutine on
	var left []*diskCopy
	for i, d := range r.st.VM.Disks {
		if _, done := r.st.disk(d.Key); !done {
			left = append(left, &diskCopy{r: r, snap: snap, layout: l, i: i, disk: d, n: counters[i], mu: &mu})
		}
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(l.parallel())
	for _, c := range left {
		g.Go(func() error { return fault.Protect(func() error { return c.do(gctx) }) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	files, err := snap.Files(ctx)
	if err != nil {
		return err
	}
	return l.finish(ctx, r, files)
}

// diskCopy copies one disk of the VM.
type diskCopy struct {
	r      *run
	snap   provider.Snapshot
	layout layout
	i      int
	disk   provider.Disk
	n      *disk.Counters
	mu     *sync.Mutex
}

func (c *diskCopy) do(ctx context.Context) (err error) {
	ctx, span := tracing.Start(ctx, "copy disk", attribute.Int("hypervisord.disk.number", c.i))
	defer func() { span.End(err) }()
	src, err := c.snap.Disk(ctx, c.disk.Key)
	if err != nil {
		return err
	}
	info := src.Info()
	c.r.log.InfoContext(ctx, "reading disk", "disk", info.Name, "bytes", info.Size, "transport", info.Transport, "reason", info.Reason)
	span.Set(attribute.Int64("hypervisord.disk.bytes", info.Size), attribute.String("hypervisord.disk.transport", info.Transport))
	c.r.meter.update(c.i, func(d *job.DiskProgress) { d.BytesTotal, d.Transport = info.Size, info.Transport })
	proof, out, err := c.copy(ctx, src, info)
	if err := errors.Join(err, src.Close()); err != nil {
		return fmt.Errorf("disk %s: %w", c.disk.Label, err)
	}
	c.r.meter.update(c.i, func(d *job.DiskProgress) { d.Done = true })
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.layout.done(c.r, c.i, out); err != nil {
		return err
	}
	c.r.st.Disks = append(c.r.st.Disks, proof)
	return c.r.save(ctx)
}

func (c *diskCopy) copy(ctx context.Context, src disk.Source, info disk.Info) (receipt.Disk, *output, error) {
	marks := c.r.t.Checkpoints
	last, resumed, err := marks.Load(ctx, c.disk.Key)
	if err != nil {
		return receipt.Disk{}, nil, err
	}
	out, err := c.layout.open(c.i, info.Size, resumed)
	if err != nil {
		return receipt.Disk{}, nil, err
	}
	o := disk.CopyOptions{
		Counters: c.n,
		Rehash:   info.Transport == provider.TransportNFC,
	}
	if c.r.t.Job.Spec.Checkpoints() {
		o.Checkpoint = func(ctx context.Context, at disk.Checkpoint, record []byte) error {
			return marks.Append(ctx, c.disk.Key, at.Offset, at.Digest, record)
		}
	}
	if resumed {
		c.r.log.InfoContext(ctx, "going on from a checkpoint", "disk", info.Name, "offset", last.Offset)
		o.Resume = &disk.Checkpoint{Offset: last.Offset, Digest: last.Digest}
		if err := out.target.Replay(last.Records); err != nil {
			return receipt.Disk{}, nil, errors.Join(err, out.close())
		}
	}
	res, err := disk.Copy(ctx, out.target, src, o)
	if err := errors.Join(err, out.close()); err != nil {
		return receipt.Disk{}, nil, err
	}
	proof := receipt.Disk{
		Key: c.disk.Key, Name: c.disk.Label, File: out.file, Member: out.member, Size: info.Size,
		Root: receipt.Root(res.Root), Ranges: res.Ranges, RangeSize: res.RangeSize,
		Transport: info.Transport, ChangeID: c.disk.ChangeID,
	}
	if checked, ok := src.(disk.Checked); ok {
		proof.Origin = checked.Origin()
	}
	return proof, out, nil
}

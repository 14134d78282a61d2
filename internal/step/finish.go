package step

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

// verify reads back what was stored, compares it with what was read, and makes
// the receipt.
func (r *run) verify(ctx context.Context) error {
	if err := r.settle(ctx); err != nil { // a crash may have kept the snapshot
		return err
	}
	if err := r.expected(); err != nil {
		return err
	}
	if _, err := r.openStage(ctx); err != nil {
		return err
	}
	shown := make([]job.DiskProgress, len(r.st.Disks))
	for i, d := range r.st.Disks {
		shown[i] = job.DiskProgress{Key: d.Key, Name: d.Name, Transport: d.Transport, BytesTotal: d.Size}
	}
	counters := r.meter.begin(phaseVerify, shown)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelDisks)
	for i := range r.st.Files {
		g.Go(func() error { return fault.Protect(func() error { return r.hash(gctx, &r.st.Files[i]) }) })
	}
	if r.t.Job.Spec.Verify != "none" {
		for i := range r.st.Disks {
			g.Go(func() error {
				return fault.Protect(func() error { return r.check(gctx, &r.st.Disks[i], counters[i]) })
			})
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := r.sums(ctx); err != nil {
		return err
	}
	return r.sign(ctx)
}

// check compares a disk that was stored with what was read.
func (r *run) check(ctx context.Context, d *receipt.Disk, n *disk.Counters) error {
	diff, err := artifact.CheckDisk(ctx, r.stage, r.t.Job.Spec.Format, d, n)
	if err == nil && len(diff) > 0 {
		err = fault.Newf(fault.Corrupt, "HX-VERIFY-003", "check the destination's storage and memory, then export again",
			"what was stored of %s is not what was read: %d bytes at offset %d", d.Name, diff[0].Length, diff[0].Offset)
	}
	return err
}

// sumsFile lists the SHA-256 of every file, in the form of sha256sum -c.
const sumsFile = "SHA256SUMS"

// sums writes the manifest of a format that has none of its own, if it was asked
// for. The hashes are those of the files as they were read back.
func (r *run) sums(ctx context.Context) error {
	spec := r.t.Job.Spec
	if !spec.Manifest() || spec.Format == "ova" || spec.Format == "ovf" {
		return nil
	}
	var b strings.Builder
	for _, f := range r.st.Files {
		if f.Name != sumsFile { // of a run that ended here
			b.WriteString(f.SHA256 + "  " + f.Name + "\n")
		}
	}
	if err := r.put(sumsFile, []byte(b.String())); err != nil {
		return err
	}
	i := slices.IndexFunc(r.st.Files, func(f receipt.File) bool { return f.Name == sumsFile })
	r.st.Files[i].SHA256 = ""
	return r.hash(ctx, &r.st.Files[i])
}

// expected compares what was read with what must have been read.
func (r *run) expected() error {
	if r.x.expect == nil {
		return nil
	}
	for _, want := range r.x.expect.Disks {
		got, found := r.st.disk(want.Key)
		if !found || got.Root != want.Root || got.Size != want.Size {
			return fault.Newf(fault.Corrupt, "HX-CONVERT-001", "verify the export that was converted; check its storage",
				"%s is not what the receipt of the export says", want.Name)
		}
	}
	return nil
}

// hash fills in the file's size and SHA-256, or compares with what the writer
// computed: with that nothing needs to be read if nothing is to be verified.
func (r *run) hash(ctx context.Context, f *receipt.File) error {
	if spec := r.t.Job.Spec; spec.Format == "raw" && path.Ext(f.Name) == ".raw" && !spec.Manifest() {
		file, err := r.stage.Open(f.Name)
		if err != nil {
			return err
		}
		f.Size = file.Size()
		return file.Close()
	}
	known := f.SHA256 != "" || len(f.Members) > 0
	if known && r.t.Job.Spec.Verify == "none" {
		return nil
	}
	if len(f.Members) > 0 {
		sum, err := artifact.CheckMembers(ctx, r.stage, f, r.t.Job.Spec.Manifest())
		f.SHA256 = sum
		return err
	}
	sum, size, err := artifact.HashFile(ctx, r.stage, f.Name)
	if err != nil {
		return err
	}
	if f.SHA256 != "" && (f.SHA256 != sum || f.Size != size) {
		return fault.Newf(fault.Corrupt, "HX-VERIFY-004", "check the destination's storage and memory, then export again",
			"%s is not what was written", f.Name)
	}
	f.SHA256, f.Size = sum, size
	return nil
}

// sign makes the receipt, stores it beside the files and in the job, and enters
// the last phase.
func (r *run) sign(ctx context.Context) error {
	r.st.Finished = time.Now().UTC()
	slices.SortFunc(r.st.Disks, func(a, b receipt.Disk) int { return r.order(a.Key) - r.order(b.Key) })
	vm := r.st.VM
	file, err := receipt.Sign(&receipt.Receipt{
		Version: receipt.Version, JobID: r.t.Job.ID, Tool: r.x.Tool, Format: r.t.Job.Spec.Format,
		VM:      receipt.VM{Provider: vm.Provider, Path: vm.Path, ID: vm.ID, UUID: vm.UUID, Firmware: vm.Firmware},
		Started: r.st.Started, Finished: r.st.Finished, Verified: r.t.Job.Spec.Verify,
		Disks: r.st.Disks, Files: r.st.Files,
	}, r.x.Key)
	if err != nil {
		return err
	}
	obj, err := r.stage.Create(receipt.FileName, false)
	if err != nil {
		return err
	}
	_, err = obj.WriteAt(file, 0)
	if err := errors.Join(err, obj.Close()); err != nil {
		return fmt.Errorf("receipt: %w", err)
	}
	r.st.Phase, r.st.Receipt = phasePublish, file
	return r.save(ctx)
}

// order is the disk's place in the VM.
func (r *run) order(key string) int {
	return slices.IndexFunc(r.st.VM.Disks, func(d provider.Disk) bool { return d.Key == key })
}

// publish makes the output appear. After a crash it finds it published already,
// or does it again.
func (r *run) publish(ctx context.Context) (job.Outcome, error) {
	r.meter.phase(phasePublish)
	out := job.Outcome{Receipt: r.st.Receipt, BytesTransferred: r.meter.total()}
	for i := range r.st.Disks {
		out.BytesRead += r.st.Disks[i].Size
	}
	stage, err := r.openStage(ctx)
	if err != nil {
		return job.Outcome{}, err
	}
	stored, err := stage.Publish(ctx)
	if err := errors.Join(err, r.close()); err != nil {
		return job.Outcome{}, err
	}
	for _, f := range r.st.Files {
		out.Artifacts = append(out.Artifacts, job.Artifact{Name: f.Name, URL: stored.URL + "/" + f.Name, Path: path.Join(stored.Path, f.Name),
			Format: r.t.Job.Spec.Format, Bytes: f.Size, SHA256: f.SHA256})
	}
	return out, nil
}

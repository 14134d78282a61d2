package step

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// layout is how a format spreads a VM over files.
type layout interface {
	// parallel is how many disks may be open at once.
	parallel() int
	// open returns the target of disk i: over what an earlier run left if resume,
	// else over an empty file.
	open(i int, size int64, resume bool) (*output, error)
	// done takes over the finished disk into r.st; r.st is locked.
	done(r *run, i int, out *output) error
	// finish writes what comes after the disks and records every file in r.st.
	finish(ctx context.Context, r *run, extra []provider.File) error
	// close frees what is open still; idempotent.
	close() error
}

// output is where one disk goes.
type output struct {
	target disk.Resumable
	file   string
	member string                   // inside an OVA
	sum    func() ([32]byte, int64) // of the disk's file, once finished; nil: not known
	close  func() error             // syncs; idempotent
}

// layout makes the layout of the job's format.
func (r *run) layout(vm provider.VM) (layout, error) {
	spec := r.t.Job.Spec
	files := fileLayout{stage: r.stage, spec: spec, stem: ova.Stem(vm.Name)}
	switch spec.Format {
	case "ova":
		return newPackageLayout(r, vm)
	case "ovf":
		m := machine(vm, r.st.Started)
		m.Bare = !spec.Manifest()
		return &folderLayout{fileLayout: files, machine: m}, nil
	default:
		return &files, nil
	}
}

// fileLayout has one file for each disk.
type fileLayout struct {
	stage sink.Stage
	spec  job.Spec
	stem  string
}

func (l *fileLayout) parallel() int { return parallelDisks }
func (l *fileLayout) close() error  { return nil }

func (l *fileLayout) open(i int, size int64, resume bool) (*output, error) {
	ext := l.spec.Format
	if ext == "ovf" {
		ext = "vmdk"
	}
	out := &output{file: fmt.Sprintf("%s-disk%d.%s", l.stem, i+1, ext)}
	obj, err := l.stage.Create(out.file, resume)
	if err != nil {
		return nil, err
	}
	out.close = obj.Close
	if out.target, err = artifact.NewTarget(obj, ext, l.options(size)); err != nil {
		return nil, errors.Join(err, obj.Close())
	}
	if t, ok := out.target.(*vmdk.Target); ok {
		out.sum = t.Sum
	}
	return out, nil
}

func (l *fileLayout) options(size int64) artifact.TargetOptions {
	o := artifact.TargetOptions{Size: size, Compression: l.spec.Compression, Level: l.spec.CompressionLvl}
	if l.spec.Compress != nil && !*l.spec.Compress {
		o.Compression = "none"
	}
	return o
}

// done records the file; its size and hash are taken when it is verified, if the
// writer did not compute them.
func (l *fileLayout) done(r *run, _ int, out *output) error {
	f := receipt.File{Name: out.file}
	if out.sum != nil {
		sum, size := out.sum()
		f.SHA256, f.Size = hex.EncodeToString(sum[:]), size
	}
	r.st.Files = append(r.st.Files, f)
	return nil
}

func (l *fileLayout) finish(_ context.Context, r *run, extra []provider.File) error {
	vars := nvram(extra)
	if vars == nil {
		return nil
	}
	return r.put(l.stem+".nvram", vars)
}

// put writes a small file of the output whole, and records it.
func (r *run) put(name string, data []byte) error {
	obj, err := r.stage.Create(name, false)
	if err != nil {
		return err
	}
	_, err = obj.WriteAt(data, 0)
	if err := errors.Join(err, obj.Close()); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, f := range r.st.Files {
		if f.Name == name {
			return nil // written again after a crash
		}
	}
	r.st.Files = append(r.st.Files, receipt.File{Name: name})
	return nil
}

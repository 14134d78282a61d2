// Package hyper2kvm is the step that makes a guest fit for KVM. The work is that of
// an external program, hyper2kvm or virt-v2v, on copies of the disks in a
// directory of its own; what it made is copied, verified, proven and published by
// this program. The engine builtin converts the disks alone.
package hyper2kvm

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/child"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
	"github.com/hypersdk/hypersdk/internal/step"
	"github.com/hypersdk/hypersdk/internal/workflow"
)

// The engines.
const (
	EngineHyper2kvm = "hyper2kvm"
	EngineVirtV2V   = "virt-v2v"
	EngineBuiltin   = "builtin"
)

// Config says which program there is.
type Config struct {
	Engine  string // default of the steps; empty: hyper2kvm
	Path    string // of hyper2kvm; empty: looked for in PATH
	VirtV2V string // path of virt-v2v; empty: looked for in PATH
	WorkDir string // where the copies go, as large as the disks
}

// Step implements workflow.Executor.
type Step struct {
	Config  Config
	Convert *step.Convert
}

// work is the directory of one step. It is private: the copies are a guest's
// disks.
func (s *Step) work(t *workflow.Task) string { return filepath.Join(s.Config.WorkDir, t.Job.ID) }

const (
	doneMark = "done" // a file in work: the program has ended well
	outDir   = "out"
)

func (s *Step) engine(st *job.Step) string {
	switch {
	case st.Engine != "":
		return st.Engine
	case s.Config.Engine != "":
		return s.Config.Engine
	}
	return EngineHyper2kvm
}

// program finds the engine's program. Kind Unprocessable.
func (s *Step) program(engine string) (string, error) {
	name, install := s.Config.Path, "install hyper2kvm (pip install hyper2kvm) or set hyper2kvm.path"
	if engine == EngineVirtV2V {
		name, install = s.Config.VirtV2V, "install virt-v2v (apt-get install virt-v2v nbdkit libnbd-bin) or set hyper2kvm.virt_v2v_path"
	}
	if name == "" {
		name = engine
	}
	path, err := child.Find(name)
	if err != nil {
		return "", fault.Wrap(err, fault.Unprocessable, "HX-H2K-001", engine+" is not installed here",
			install+"; or say engine: builtin, which converts the disks alone, if the guest needs no other drivers")
	}
	if engine == EngineVirtV2V && s.Config.VirtV2V == "" {
		return path, complete()
	}
	return path, nil
}

// Validate implements workflow.Executor.
func (s *Step) Validate(ctx context.Context, st job.Step) error {
	switch engine := s.engine(&st); engine {
	case EngineBuiltin:
	case EngineHyper2kvm, EngineVirtV2V:
		if _, err := s.program(engine); err != nil {
			return err
		}
	default:
		return fault.Newf(fault.Unprocessable, "HX-H2K-002", "use one of hyper2kvm, virt-v2v, builtin", "the engine %.50q is not known", engine)
	}
	return s.Convert.Validate(ctx, st)
}

// Execute implements workflow.Executor.
func (s *Step) Execute(ctx context.Context, t workflow.Task) (job.Outcome, error) {
	engine := s.engine(&t.Step)
	if engine == EngineBuiltin {
		return s.Convert.Execute(ctx, t)
	}
	if t.Token == nil { // else the program has ended, and its output is being copied
		if err := s.transform(ctx, &t, engine); err != nil {
			return job.Outcome{}, err
		}
	}
	made, err := s.made(&t)
	if fault.Is(err, fault.NotFound) && t.Token != nil { // a crash came after the end: it is published, and this says so
		made, err = s.gone(&t)
	}
	if err != nil {
		return job.Outcome{}, err
	}
	out, err := s.Convert.Publish(ctx, t, made)
	if err != nil {
		return out, err
	}
	return out, os.RemoveAll(s.work(&t))
}

// Cleanup implements workflow.Executor.
func (s *Step) Cleanup(ctx context.Context, t workflow.Task) error {
	if s.engine(&t.Step) == EngineBuiltin {
		return s.Convert.Cleanup(ctx, t)
	}
	var err error
	if t.Token != nil {
		made, gerr := s.gone(&t)
		if gerr != nil {
			return gerr
		}
		err = s.Convert.Discard(ctx, t, made)
	}
	return errors.Join(err, os.RemoveAll(s.work(&t)))
}

// gone stands for what the program made where that is not to be read any more.
func (s *Step) gone(t *workflow.Task) (*step.Stored, error) {
	in, err := step.OpenStored(t.Input)
	if err != nil {
		return nil, err
	}
	return &step.Stored{Dir: s.out(t), Receipt: in.Receipt}, nil
}

func (s *Step) out(t *workflow.Task) string { return filepath.Join(s.work(t), outDir) }

// transform copies the disks and lets the program work on the copies.
func (s *Step) transform(ctx context.Context, t *workflow.Task, engine string) error {
	program, err := s.program(engine)
	if err != nil {
		return err
	}
	work := s.work(t)
	if _, err := os.Stat(filepath.Join(work, doneMark)); err == nil {
		return nil
	}
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(s.out(t), 0o700)); err != nil {
		return fault.Wrap(err, fault.Unavailable, "HX-H2K-003", "the working directory cannot be made", "check the storage below state_dir")
	}
	in, err := step.OpenStored(t.Input)
	if err != nil {
		return err
	}
	say := func(phase string) { t.Progress(job.Progress{Phase: phase, ETA: -1}) }
	say("copying the disks for " + engine)
	copies, err := copyDisks(ctx, in, work)
	if err != nil {
		return err
	}
	say(engine)
	run := runHyper2kvm
	if engine == EngineVirtV2V {
		run = runVirtV2V
	}
	if err := run(ctx, task{program: program, work: work, out: s.out(t), copies: copies, line: func(l string) { say(engine + ": " + short(l)) }}); err != nil {
		return err
	}
	return mark(filepath.Join(work, doneMark))
}

// short keeps a line of a program short.
func short(s string) string {
	const most = 120
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func mark(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err == nil {
		err = errors.Join(f.Sync(), f.Close())
	}
	return fault.Wrap(err, fault.Unavailable, "HX-H2K-003", "the working directory cannot be written", "check the storage below state_dir")
}

// copyOf is a working copy of a disk.
type copyOf struct {
	receipt.Disk
	path string // a qcow2
	sum  string // SHA-256 of the file
	size int64  // of the file
}

// copyDisks writes working copies, and compares what is read with the receipt.
func copyDisks(ctx context.Context, in *step.Stored, work string) ([]copyOf, error) {
	folder, err := artifact.OpenFolder(in.Dir)
	if err != nil {
		return nil, err
	}
	copies := make([]copyOf, len(in.Receipt.Disks))
	for i := range copies {
		if err == nil {
			copies[i], err = copyDisk(ctx, folder, in, i, work)
		}
	}
	return copies, errors.Join(err, folder.Close())
}

func copyDisk(ctx context.Context, folder *artifact.Folder, in *step.Stored, i int, work string) (copyOf, error) {
	c := copyOf{Disk: in.Receipt.Disks[i], path: filepath.Join(work, diskID(i)+".qcow2")}
	src, err := artifact.OpenDisk(folder, in.Receipt.Format, &c.Disk)
	if err != nil {
		return c, err
	}
	res, err := writeCopy(ctx, src, &c)
	if err := errors.Join(err, src.Close()); err != nil {
		return c, err
	}
	if receipt.Root(res.Root) != c.Root {
		return c, fault.Newf(fault.Corrupt, "HX-H2K-004", "verify the export; check its storage", "%s is not what the receipt of the export says", c.Name)
	}
	copies, err := artifact.OpenFolder(work)
	if err != nil {
		return c, err
	}
	c.sum, c.size, err = artifact.HashFile(ctx, copies, filepath.Base(c.path))
	return c, errors.Join(err, copies.Close())
}

func writeCopy(ctx context.Context, src disk.Source, c *copyOf) (disk.CopyResult, error) {
	f, err := dir.CreateFile(c.path)
	if err != nil {
		return disk.CopyResult{}, err
	}
	target, err := artifact.NewTarget(f, "qcow2", artifact.TargetOptions{Size: c.Size, Compression: "none"})
	if err != nil {
		return disk.CopyResult{}, errors.Join(err, f.Discard())
	}
	res, err := disk.Copy(ctx, target, src, disk.CopyOptions{Counters: new(disk.Counters)})
	if err != nil {
		return res, errors.Join(err, f.Discard())
	}
	return res, f.Publish()
}

// Package dir is the sink that is a directory: an output is staged in
// `.NAME.JOB.partial` and appears as NAME by one rename, when everything in it
// is on the disk.
package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// Dir is a directory below a root. Every path is resolved inside the root by the
// operating system (os.Root): no link leads out of it.
type Dir struct {
	root *os.Root
	path string // for people
}

// New opens the directory sub below root, and makes what is missing. Kinds:
// Denied, Unprocessable, Unavailable.
func New(root, sub string) (*Dir, error) {
	path := filepath.Join(root, sub)
	if err := os.MkdirAll(root, 0o750); err != nil {
		return nil, classify(err, path)
	}
	top, err := os.OpenRoot(root)
	if err != nil {
		return nil, classify(err, path)
	}
	if err := top.MkdirAll(sub, 0o750); err != nil {
		return nil, errors.Join(classify(err, path), top.Close())
	}
	below, err := top.OpenRoot(sub)
	if err := errors.Join(err, top.Close()); err != nil {
		return nil, classify(err, path)
	}
	return &Dir{root: below, path: path}, nil
}

// Stage implements sink.Sink. It takes over the directory: Stage.Close and
// Stage.Discard close it.
func (d *Dir) Stage(_ context.Context, name, jobID string) (sink.Stage, error) {
	s, err := d.stage(name, jobID)
	if err != nil {
		return nil, errors.Join(err, d.root.Close())
	}
	return s, nil
}

func (d *Dir) stage(name, jobID string) (*stage, error) {
	s := &stage{dir: d, name: name, jobID: jobID, temp: "." + name + "." + jobID + ".partial"}
	_, err := d.root.Lstat(s.temp)
	if errors.Is(err, fs.ErrNotExist) {
		published, err := s.published()
		if published || err != nil {
			return s, err
		}
		if err := d.root.Mkdir(s.temp, 0o750); err != nil {
			return nil, classify(err, d.path)
		}
	} else if err != nil {
		return nil, classify(err, d.path)
	}
	if s.files, err = d.root.OpenRoot(s.temp); err != nil {
		return nil, classify(err, d.path)
	}
	if s.lock, err = d.root.Open(s.temp); err == nil {
		err = unix.Flock(int(s.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		return nil, errors.Join(fault.Wrap(err, fault.Conflict, "HX-DST-014",
			"the staging directory of this job in "+d.path+" is in use by another process", "stop the other process"), s.Close())
	}
	return s, nil
}

// published tells whether the name is taken by an output of the same job: a
// crash came between the rename and the note of it. Kind Conflict: it is taken by
// something else.
func (s *stage) published() (bool, error) {
	if _, err := s.dir.root.Lstat(s.name); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if s.ours() {
		return true, nil
	}
	return false, fault.Newf(fault.Conflict, "HX-DST-015", "remove or rename it, or give this export another name or output_path",
		"%s exists already", filepath.Join(s.dir.path, s.name))
}

// ours tells whether the receipt of what is published names this job.
func (s *stage) ours() bool {
	f, err := s.dir.root.Open(filepath.Join(s.name, receipt.FileName))
	if err != nil {
		return false
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, receipt.MaxSize))
	if err != nil {
		return false
	}
	r, _, err := receipt.Open(text)
	return err == nil && r.JobID == s.jobID
}

// classify gives an error of the destination its kind.
func classify(err error, path string) error {
	if err == nil {
		return nil
	}
	if e := (*fault.Error)(nil); errors.As(err, &e) {
		return err
	}
	switch {
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT), errors.Is(err, unix.EFBIG):
		return fault.Wrap(err, fault.Unprocessable, "HX-DST-010", "the destination "+path+" is full", "free space, or export to another place")
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.EROFS):
		return fault.Wrap(err, fault.Denied, "HX-DST-011", "the destination "+path+" cannot be written", "correct its owner or permissions, or export to another place")
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EINVAL):
		return fault.Wrap(err, fault.Unprocessable, "HX-DST-012", "the destination "+path+" is not a usable directory", "choose another output_path")
	default:
		return fault.Wrap(err, fault.Unavailable, "HX-DST-013", "the destination "+path+" failed", "check the storage below it (see the daemon's log)")
	}
}

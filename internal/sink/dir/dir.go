// Package dir is the sink that is a directory: an output is staged in
// `.NAME.JOB.MARK.partial` and appears as NAME by one rename, when everything in
// it is on the disk.
package dir

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"

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
	if err := os.MkdirAll(root, 0o750); err != nil { //nolint:gosec // a root comes from the configuration
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
	s := &stage{dir: d, name: name, jobID: jobID}
	if err := s.find(); err != nil || s.lock != nil {
		return s, err
	}
	published, err := s.published()
	if published || err != nil {
		return s, err
	}
	return s, s.make()
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
	return false, taken(fs.ErrExist, filepath.Join(s.dir.path, s.name))
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

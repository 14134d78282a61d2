package dir

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// stage is a staging directory, locked against a second process.
type stage struct {
	dir   *Dir
	name  string
	jobID string
	mark  string // empty: it is published already
	temp  string
	files *os.Root // nil: it is published already
	lock  *os.File

	renamed bool // by this stage
	closed  bool
}

// Create implements sink.Stage.
func (s *stage) Create(name string, resume bool) (sink.Object, error) {
	if s.files == nil {
		return nil, fault.New(fault.Conflict, "HX-DST-016", "the output is published already", "")
	}
	flags := os.O_RDWR | os.O_CREATE
	if !resume {
		// A file that was left behind is not written into: it may be anything.
		if err := s.files.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, classify(err, s.dir.path)
		}
		flags |= os.O_EXCL
	}
	o, err := create(s.files, name, flags, filepath.Join(s.dir.path, s.name))
	if err != nil {
		return nil, err
	}
	// A checkpoint will say what the file holds: its name must last as long.
	if err := syncDir(s.files); err != nil {
		return nil, errors.Join(classify(err, s.dir.path), o.Close())
	}
	return o, nil
}

// Open implements sink.Stage.
func (s *stage) Open(name string) (sink.ReadFile, error) {
	if s.files == nil {
		return nil, fault.New(fault.Conflict, "HX-DST-016", "the output is published already", "")
	}
	f, err := s.files.Open(name)
	if err != nil {
		return nil, classify(err, s.dir.path)
	}
	back, err := openBack(s.files, name, f)
	return back, classify(err, s.dir.path)
}

// Publish implements sink.Stage. The order is what a power cut needs: the files
// are synced, then the directory that lists them, then the rename, then the
// directory that lists the output. It may be called again after an error.
func (s *stage) Publish(context.Context) (sink.Stored, error) {
	path := filepath.Join(s.dir.path, s.name)
	stored := sink.Stored{URL: "file://" + filepath.ToSlash(path), Path: path}
	if s.files != nil && !s.renamed {
		if err := syncDir(s.files); err != nil {
			return stored, classify(err, path)
		}
		if err := renameNew(s.dir.root, s.temp, s.name); err != nil {
			return stored, taken(err, path)
		}
		s.renamed = true
	}
	return stored, classify(syncDir(s.dir.root), path)
}

// Discard implements sink.Stage.
func (s *stage) Discard(context.Context) error {
	if s.closed {
		return nil
	}
	var err error
	if s.temp != "" {
		err = classify(s.dir.root.RemoveAll(s.temp), s.dir.path)
	}
	return errors.Join(err, s.Close())
}

// Close implements sink.Stage.
func (s *stage) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.release(), s.dir.root.Close())
}

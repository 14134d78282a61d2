package dir

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/sink"
)

// File is a single file that appears under its name by Publish.
type File struct {
	sink.Object
	root *os.Root
	name string
	temp string
}

// CreateFile begins a file. Kind Conflict: path exists.
func CreateFile(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, fault.New(fault.Conflict, "HX-DST-015", path+" exists already", "remove it, or choose another name")
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, classify(err, path)
	}
	f := &File{root: root, name: filepath.Base(path), temp: "." + filepath.Base(path) + ".partial"}
	if f.Object, err = create(root, f.temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, path); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return f, nil
}

// Publish makes the file appear, durably.
func (f *File) Publish() error {
	if err := f.Object.Close(); err != nil {
		return errors.Join(err, f.Discard())
	}
	err := f.root.Rename(f.temp, f.name)
	if err == nil {
		err = syncDir(f.root)
	}
	return errors.Join(classify(err, f.name), f.root.Close())
}

// Discard removes the file.
func (f *File) Discard() error {
	_ = f.Object.Close() // it is removed anyway
	return errors.Join(classify(f.root.Remove(f.temp), f.name), f.root.Close())
}

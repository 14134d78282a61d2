package dir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hypersdk/hypersdk/internal/sink"
)

// File is a single file that appears under its name by Publish.
type File struct {
	sink.Object
	root *os.Root
	lock *os.File
	path string // for people
	name string
	temp string
}

// CreateFile begins a file. What a crash left of the same file is overwritten.
// Kind Conflict: path exists, or another process is writing it.
func CreateFile(path string) (*File, error) {
	if _, err := os.Lstat(path); err == nil {
		return nil, taken(fs.ErrExist, path)
	}
	root, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return nil, classify(err, path)
	}
	f := &File{root: root, path: path, name: filepath.Base(path), temp: "." + filepath.Base(path) + ".partial"}
	if f.lock, err = lock(root, f.temp, os.O_RDWR|os.O_CREATE, path); err != nil {
		return nil, errors.Join(err, root.Close())
	}
	if f.Object, err = create(root, f.temp, os.O_RDWR|os.O_TRUNC, path); err != nil {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// Publish makes the file appear, durably. It never replaces one: if somebody
// made path in the meantime, that is a Conflict and the file is removed.
func (f *File) Publish() error {
	err := f.Close()
	if err == nil {
		err = taken(renameNew(f.root, f.temp, f.name), f.path)
	}
	if err != nil {
		return errors.Join(err, f.Discard())
	}
	return errors.Join(classify(syncDir(f.root), f.path), f.close())
}

// Discard removes the file.
func (f *File) Discard() error {
	_ = f.Close() // it is removed anyway
	return errors.Join(classify(f.root.Remove(f.temp), f.path), f.close())
}

func (f *File) close() error { return errors.Join(f.lock.Close(), f.root.Close()) }

package dir

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// lock opens name in root and keeps every other process from doing so until the
// handle is closed, by a crash too. Kind Conflict: somebody else has it.
func lock(root *os.Root, name string, flags int, path string) (*os.File, error) {
	f, err := root.OpenFile(name, flags|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, classify(err, path)
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		err = same(root, name, f)
	}
	if errors.Is(err, unix.EWOULDBLOCK) || errors.Is(err, fs.ErrNotExist) {
		err = fault.Wrap(err, fault.Conflict, "HX-DST-014", "another process is writing to "+path, "wait for it, or stop it")
	}
	if err != nil {
		return nil, errors.Join(classify(err, path), f.Close())
	}
	return f, nil
}

// same makes sure that f still has its name: whoever had the lock before may have
// published or removed it since it was opened.
func same(root *os.Root, name string, f *os.File) error {
	got, err := f.Stat()
	if err != nil {
		return err
	}
	want, err := root.Lstat(name)
	if err == nil && !os.SameFile(got, want) {
		err = fs.ErrNotExist
	}
	return err
}

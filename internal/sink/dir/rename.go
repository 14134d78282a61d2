package dir

import (
	"errors"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

// renameNew gives a file or directory in root a new name and never replaces
// anything: an error that isTaken reports means that the name is in use. After a
// crash there is the one name or the other.
func renameNew(root *os.Root, from, to string) error {
	top, err := root.Open(".")
	if err != nil {
		return err
	}
	defer top.Close() //nolint:errcheck // only a handle
	fd := int(top.Fd())
	err = unix.Renameat2(fd, from, fd, to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
		return renameOld(root, from, to)
	}
	return err
}

// renameOld is renameNew for file systems that have no RENAME_NOREPLACE, such as
// NFS. A link fails if its name is taken; a directory cannot be linked, but its
// rename fails for every name in use except that of an empty directory.
func renameOld(root *os.Root, from, to string) error {
	st, err := root.Lstat(from)
	if err != nil {
		return err
	}
	if st.IsDir() {
		return root.Rename(from, to)
	}
	if err := root.Link(from, to); err != nil {
		return err
	}
	return root.Remove(from)
}

// isTaken tells whether a rename failed because the new name is in use.
func isTaken(err error) bool {
	return errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) || errors.Is(err, unix.ENOTDIR)
}

// syncDir makes the names in a directory durable.
func syncDir(root *os.Root) error {
	d, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// lockDir takes the state directory for this process. The kernel lets go of it
// when the process ends, however it ends. Kind Conflict if another process has
// it.
func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, unusable(dir, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		holder := holderOf(f)
		err = errors.Join(err, f.Close())
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fault.Wrap(err, fault.Conflict, "HX-STORE-001",
				fmt.Sprintf("the state directory %s is in use by another process%s", dir, holder),
				"stop that one, or give this one its own state directory")
		}
		return nil, unusable(dir, err)
	}
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(unusable(dir, err), f.Close())
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		return nil, errors.Join(unusable(dir, err), f.Close())
	}
	return f, nil
}

// holderOf tells which process wrote the lock file, as far as it can be read.
func holderOf(f *os.File) string {
	head, err := io.ReadAll(io.LimitReader(f, 20))
	pid := strings.TrimSpace(string(head))
	if err != nil || pid == "" {
		return ""
	}
	return fmt.Sprintf(" (pid %.20q)", pid)
}

func unusable(dir string, err error) error {
	return fault.Wrap(err, fault.Unavailable, "HX-STORE-002",
		fmt.Sprintf("the state directory %s cannot be used: %v", dir, errors.Unwrap(err)),
		"give a directory on a local disk that this user may write")
}

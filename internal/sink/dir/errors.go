package dir

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/fault"
)

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

// taken explains an error that came of a name in use; others it classifies.
func taken(err error, path string) error {
	if !isTaken(err) {
		return classify(err, path)
	}
	return fault.Wrap(err, fault.Conflict, "HX-DST-015", path+" exists already",
		"remove or rename it, or give this export another name or output_path")
}

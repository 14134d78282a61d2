package vmdk

import (
	"errors"
	"fmt"
	"io"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// CodeTruncated marks the errors (kind Corrupt) that say that a file ends too
// early. For a file this is damage; for a network stream it means that the
// connection was lost, and reading again may help.
const CodeTruncated = "HX-VMDK-004"

const (
	codeCorrupt     = "HX-VMDK-001"
	codeUnsupported = "HX-VMDK-002"
	codeForeign     = "HX-VMDK-003"
	codeMismatch    = "HX-VMDK-005"
	codeTooLarge    = "HX-VMDK-006"
	codeRecord      = "HX-VMDK-007"
	codeSize        = "HX-VMDK-008"
	codeRead        = "HX-VMDK-009"
	codeBlock       = "HX-VMDK-010"
)

const fixDamaged = "fetch or create the file again; if it stays, check the storage and the tool that made it"

func corrupt(format string, args ...any) error {
	return fault.Newf(fault.Corrupt, codeCorrupt, fixDamaged, "the VMDK is damaged: "+format, args...)
}

func unsupported(format string, args ...any) error {
	return fault.Newf(fault.Unprocessable, codeUnsupported,
		"convert the disk to streamOptimized (64 KiB grains) with the tool that made it",
		"this kind of VMDK is not read: "+format, args...)
}

// foreign refuses a file whose content lies, or may lie, in another file.
func foreign(format string, args ...any) error {
	return fault.Newf(fault.Unprocessable, codeForeign,
		"export the disk as one file without a parent (consolidate snapshots, then streamOptimized)",
		"the VMDK refers to another file: "+format, args...)
}

func truncated(format string, args ...any) error {
	return fault.Newf(fault.Corrupt, CodeTruncated,
		"transfer the file again; the source or the network cut it off",
		"the VMDK ends too early: "+format, args...)
}

// readFailure keeps a classified error of the reader below as it is and makes
// an end of data where more was due a truncation.
func readFailure(err error, what string, at int64) error {
	var classified *fault.Error
	switch {
	case errors.As(err, &classified):
		return fmt.Errorf("vmdk: %s at byte %d: %w", what, at, err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return truncated("in %s, at byte %d", what, at)
	}
	return fault.Wrap(err, fault.Unavailable, codeRead,
		fmt.Sprintf("the VMDK cannot be read at byte %d (%s)", at, what), "check the storage or the network that delivers it")
}

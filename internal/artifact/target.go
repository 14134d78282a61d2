package artifact

import (
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// TargetOptions say how a disk is written.
type TargetOptions struct {
	Size        int64
	Compression string // of a qcow2: none, zlib, zstd; empty: zlib
	Level       int    // 0: the codec's default
}

// NewTarget makes the writer of one disk in the format raw, vmdk or qcow2. Kind
// Unprocessable: the format does not hold such a disk, or is not known.
func NewTarget(obj disk.Object, format string, o TargetOptions) (disk.Resumable, error) {
	switch format {
	case "raw":
		return disk.NewRawTarget(obj, o.Size), nil
	case "vmdk":
		return vmdk.NewTarget(obj, vmdk.TargetOptions{Size: o.Size, Level: o.Level})
	case "qcow2":
		c, ok := compressions[o.Compression]
		if !ok {
			return nil, fault.Newf(fault.Unprocessable, "HX-VERIFY-021", "use none, zlib or zstd", "the compression %q is not known", o.Compression)
		}
		return qcow2.NewTarget(obj, qcow2.TargetOptions{Size: o.Size, Compression: c, Level: o.Level})
	default:
		return nil, unknownFormat(format)
	}
}

var compressions = map[string]qcow2.Compression{"none": qcow2.None, "": qcow2.Zlib, "zlib": qcow2.Zlib, "zstd": qcow2.Zstd}

func unknownFormat(format string) error {
	return fault.Newf(fault.Unprocessable, "HX-VERIFY-002", "use raw, vmdk or qcow2", "the format %q is not known", format)
}

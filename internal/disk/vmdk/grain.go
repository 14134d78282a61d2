package vmdk

import (
	"fmt"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/inflate"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// zlibBlock makes the block of a compressed grain whose data is buf.B[:n]; it
// owns buf. A whole grain passes unopened. The last grain of an odd disk is
// inflated here, because writers differ (VMware pads it to 64 KiB, qemu-img and
// open-vmdk stop at the end of the disk) and a block holds just what is on the
// disk.
func zlibBlock(off, size int64, buf *disk.Buffer, n int) (disk.Block, error) {
	length := grainLen(off, size)
	b := disk.NewBlock(off, length, disk.Zlib, buf.B[:n], buf)
	if length == disk.GrainSize {
		return b, nil
	}
	plain := disk.GetBuffer()
	got, err := inflate.Zlib(plain.B[:disk.GrainSize], b.Data)
	if err == nil && int64(got) != length && got != disk.GrainSize {
		err = fmt.Errorf("%d bytes instead of %d or %d", got, length, disk.GrainSize)
	}
	if err != nil {
		plain.Release()
		b.Release()
		return disk.Block{}, fault.Wrap(err, fault.Corrupt, codeCorrupt,
			fmt.Sprintf("the VMDK is damaged: the last grain (offset %d of the disk) does not inflate", off), fixDamaged)
	}
	b.Replace(disk.Raw, plain.B[:length], plain)
	return b, nil
}

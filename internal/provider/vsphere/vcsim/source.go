package vcsim

import (
	"context"
	"iter"

	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// frozenDisk is a disk.Source of an image at a snapshot (nil: now).
type frozenDisk struct {
	m      *image
	snap   *types.ManagedObjectReference
	poison int64 // offset of a byte to flip, or negative
}

func (d frozenDisk) Info() disk.Info { return disk.Info{Name: d.m.name, Size: d.m.size} }

func (frozenDisk) Close() error { return nil }

// Blocks yields every allocated block.
func (d frozenDisk) Blocks(ctx context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		data, err := d.m.allocation(d.snap)
		if err != nil {
			yield(disk.Block{}, err)
			return
		}
		if d.poison >= 0 {
			data.mark(d.poison, 1)
		}
		for block, n := range data.runs(from / blockSize) {
			for ; n > 0; block, n = block+1, n-1 {
				b, err := d.block(ctx, block*blockSize)
				if !yield(b, err) || err != nil {
					return
				}
			}
		}
	}
}

func (d frozenDisk) block(ctx context.Context, off int64) (disk.Block, error) {
	if err := ctx.Err(); err != nil {
		return disk.Block{}, err
	}
	buf := disk.GetBuffer()
	n := min(blockSize, d.m.size-off)
	p := buf.B[:n]
	if _, err := d.m.readAt(d.snap, p, off); err != nil {
		buf.Release()
		return disk.Block{}, err
	}
	if d.poison >= off && d.poison < off+n {
		p[d.poison-off] ^= 0x40
	}
	return disk.NewBlock(off, n, disk.Raw, p, buf), nil
}

package vcsim

import (
	"iter"
	"math/bits"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// blockSize is the granularity in bytes of copy-on-write and of changed block
// tracking.
const blockSize = disk.GrainSize

// bitmap marks blocks of a disk.
type bitmap []uint64

func newBitmap(size int64) bitmap {
	blocks := (size + blockSize - 1) / blockSize
	return make(bitmap, (blocks+63)/64)
}

func (b bitmap) set(block int64)      { b[block/64] |= 1 << (block % 64) }
func (b bitmap) has(block int64) bool { return b[block/64]&(1<<(block%64)) != 0 }

// merge marks every block that o marks.
func (b bitmap) merge(o bitmap) {
	for i, w := range o {
		b[i] |= w
	}
}

// mark marks the blocks that the bytes [off, off+n) touch.
func (b bitmap) mark(off, n int64) {
	if n <= 0 {
		return
	}
	for block := off / blockSize; block <= (off+n-1)/blockSize; block++ {
		b.set(block)
	}
}

// runs yields the maximal runs of marked blocks at or after block from, as
// first block and number of blocks, in ascending order.
func (b bitmap) runs(from int64) iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		end := int64(len(b)) * 64
		for at := b.next(from, false); at < end; {
			stop := b.next(at, true)
			if !yield(at, stop-at) {
				return
			}
			at = b.next(stop, false)
		}
	}
}

// next returns the first block at or after from whose mark is not clear (or
// not set, with inverted), or the end of the bitmap.
func (b bitmap) next(from int64, inverted bool) int64 {
	for at := from; at < int64(len(b))*64; at = (at/64 + 1) * 64 {
		w := b[at/64]
		if inverted {
			w = ^w
		}
		if w >>= at % 64; w != 0 {
			return at + int64(bits.TrailingZeros64(w))
		}
	}
	return int64(len(b)) * 64
}

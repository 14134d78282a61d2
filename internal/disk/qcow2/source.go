package qcow2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"iter"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// image is an opened file; it does not change.
type image struct {
	header
	r    io.ReaderAt
	file int64  // length of the file
	l1   []byte // as far as the virtual size needs it
}

// Open reads the header and the L1 table of the qcow2 image in the first size
// bytes of r, which stays the caller's and must allow concurrent reads. It
// follows no reference to another file and reads the active state, not internal
// snapshots. Nothing in the file makes it take more than 45 MiB of memory.
//
// Errors are of kind Unprocessable (not a qcow2 image, or one that depends on
// something else), Corrupt or Unavailable.
//
// Blocks of the source are Deflate or Zstd where the cluster size is 64 KiB and
// the cluster is compressed, and Raw otherwise. A Deflate block may have up to
// 511 bytes behind the end of its stream.
func Open(r io.ReaderAt, size int64) (disk.Source, error) {
	p := make([]byte, min(max(size, 0), headerSize))
	if err := readFull(r, p, 0); err != nil {
		return nil, err
	}
	h, err := parseHeader(p)
	if err != nil {
		return nil, err
	}
	if h.table1Offset > uint64(size) || h.needTable1()*entrySize > uint64(size)-h.table1Offset {
		return nil, damaged("its L1 table lies behind the end of the file")
	}
	img := &image{header: *h, r: r, file: size, l1: make([]byte, h.needTable1()*entrySize)}
	return img, readFull(r, img.l1, int64(h.table1Offset))
}

// Info describes the disk; Key, Name and Identity are the caller's to add.
func (m *image) Info() disk.Info {
	return disk.Info{
		Size: m.virtual(), Used: min(m.file, m.virtual()),
		Transport: "file", Reason: "the disk is a qcow2 image",
	}
}

// Close does nothing: the file belongs to the caller.
func (m *image) Close() error { return nil }

// Blocks yields the content from an offset on. It may be called concurrently.
func (m *image) Blocks(ctx context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		w := walker{image: m, window: window{r: m.r, size: m.file}, unpacked: none}
		defer w.close()
		for off := m.next(from); off < m.virtual(); off = m.next(off + disk.GrainSize) {
			if ctx.Err() != nil {
				yield(disk.Block{}, context.Cause(ctx))
				return
			}
			b, ok, err := w.grain(off)
			if err != nil {
				yield(disk.Block{}, err)
				return
			}
			if ok && !yield(b, nil) {
				return
			}
		}
	}
}

// virtual returns the size of the disk in bytes: at most 2^61, by the limit on
// the L1 table.
func (m *image) virtual() int64 { return int64(m.size) }

// span returns how much of the disk an L2 table covers, as a power of two.
func (m *image) span() uint { return uint(2*m.clusterBits - 3) }

// next returns the first grain from off on for which there is an L2 table.
func (m *image) next(off int64) int64 {
	for off < m.virtual() {
		i := off >> m.span()
		if m.table(i) != 0 {
			break
		}
		// A table may cover less than a grain: go on within it then.
		off = (i + 1) << m.span()
	}
	return off &^ (disk.GrainSize - 1)
}

// table returns an L1 entry.
func (m *image) table(i int64) uint64 { return binary.BigEndian.Uint64(m.l1[i*entrySize:]) }

// readFull reads all of p. Kind Unavailable: the storage fails, or the file has
// become shorter.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fault.Wrap(err, fault.Unavailable, "HX-QCOW-020",
		fmt.Sprintf("the qcow2 image cannot be read at offset %d", off), "check the storage that holds it")
}

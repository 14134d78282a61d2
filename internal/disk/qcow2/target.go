package qcow2

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxSize is the largest disk that NewTarget takes: 64 TiB, above what vSphere
// has, and what keeps the tables below 2 MiB of memory.
const maxSize = 64 << 40

// TargetOptions describe the image to write.
type TargetOptions struct {
	Size        int64 // virtual size in bytes, a multiple of 512
	Compression Compression
	// Level of the compression; 0 is the fastest. Zlib takes 1 to 9, Zstd 1 to
	// 22; None ignores it.
	Level int
}

// Target writes a qcow2 image: version 3, clusters of 64 KiB, no backing file.
// It implements [disk.Resumable]. Its memory does not depend on the content,
// and on the size of the disk only by some 24 bytes per GiB.
//
// The header is written last, after a sync: a file that was not finished has no
// magic number, also after a power cut, and nobody takes it for an image.
type Target struct {
	obj    disk.Object
	size   int64
	kind   Compression
	codec  codec // nil for None
	space  space
	l2     []byte // the L2 table in the making
	table  int64  // its index; none if it is empty
	end    int64  // of the last block of data
	marked mark   // what the last Mark recorded
}

// none is the index of no L2 table.
const none = -1

// NewTarget makes the target of one disk over an empty object, or one that
// Replay is called for. The object belongs to the caller. An error is of kind
// Unprocessable or Invalid.
func NewTarget(obj disk.Object, o TargetOptions) (*Target, error) {
	if o.Size < 0 || o.Size > maxSize || o.Size%sectorSize != 0 {
		return nil, fault.Newf(fault.Unprocessable, "HX-QCOW-001", "check the size of the source's disk",
			"a qcow2 image of %d bytes cannot be written: the size must be a multiple of %d and at most %d", o.Size, sectorSize, int64(maxSize))
	}
	c, err := newCodec(o.Compression, o.Level)
	if err != nil {
		return nil, err
	}
	t := &Target{
		obj: obj, size: o.Size, kind: o.Compression, codec: c,
		space: newSpace(obj, o.Size),
		l2:    make([]byte, clusterSize),
	}
	t.reset()
	return t, nil
}

// reset brings the target back to where it has stored nothing.
func (t *Target) reset() {
	t.space.reset()
	clear(t.l2)
	t.table, t.end = none, 0
	t.marked = t.state()
}

// Accepts tells which encodings can be stored as they come.
func (t *Target) Accepts(enc disk.Encoding) bool {
	return enc == disk.Raw || t.codec != nil && t.codec.accepts(enc)
}

// Encode compresses a block, or takes the frame off one that is compressed
// already. What does not get smaller than a cluster becomes Raw. Kind Corrupt:
// a compressed block that had to be inflated cannot be.
func (t *Target) Encode(b *disk.Block) error {
	if t.codec == nil {
		return nil
	}
	return t.codec.encode(b)
}

// Put stores the block in the next place of the file. It does not allocate.
func (t *Target) Put(_ context.Context, b disk.Block) error {
	defer b.Release()
	if b.Off < t.end || b.Off%clusterSize != 0 || b.Len > t.size-b.Off {
		return misuse(&b, "is out of order or out of bounds")
	}
	if b.Enc == disk.Zero {
		return nil
	}
	cluster := b.Off / clusterSize
	if err := t.open(b.Off / tableSpan); err != nil {
		return err
	}
	entry, err := t.store(&b)
	if err != nil {
		return err
	}
	binary.BigEndian.PutUint64(t.l2[cluster*entrySize%clusterSize:], entry)
	t.end = b.Off + b.Len
	return nil
}

// store writes the content of a block and returns its L2 entry.
func (t *Target) store(b *disk.Block) (uint64, error) {
	switch {
	case b.Enc == disk.Raw && len(b.Data) <= clusterSize:
		off, err := t.space.cluster(b.Data)
		return entryCopied | uint64(off), err
	case t.codec != nil && b.Enc == t.codec.stores() && len(b.Data) > 0 && len(b.Data) < clusterSize:
		at, err := t.space.pack(b.Data)
		return at.entry(clusterBits), err
	default:
		return 0, misuse(b, "is not in the form that Encode gives")
	}
}

// open turns to the L2 table with the index, and stores the one before.
func (t *Target) open(table int64) error {
	if table == t.table {
		return nil
	}
	if t.table != none {
		off, err := t.space.cluster(t.l2)
		if err != nil {
			return err
		}
		t.space.setTable(t.table, off)
		clear(t.l2)
	}
	t.table = table
	return nil
}

// Finish stores the last tables, makes all of it durable, and then writes the
// header. The caller syncs once more.
func (t *Target) Finish(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := t.open(none); err != nil {
		return err
	}
	if err := t.space.close(); err != nil {
		return err
	}
	if _, err := t.obj.WriteAt(t.space.tables, clusterSize); err != nil {
		return fmt.Errorf("qcow2: tables: %w", err)
	}
	if err := t.obj.Sync(); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	return t.writeHeader()
}

func (t *Target) writeHeader() error {
	refTab := int64(len(t.space.refTab))
	h := header{
		clusterBits:    clusterBits,
		size:           uint64(t.size),
		table1Entries:  uint32(ceilDiv(t.size, tableSpan)),
		table1Offset:   clusterSize,
		refTableOffset: uint64(clusterSize + int64(len(t.space.tables)) - refTab),
		refClusters:    uint32(refTab / clusterSize),
	}
	if t.kind == Zstd {
		h.incompatible, h.compression = featureCompression, compressionZstd
	}
	return t.writeFirst(h.marshal())
}

// writeFirst overwrites the first block of the file.
func (t *Target) writeFirst(p []byte) error {
	block := make([]byte, headerBlock)
	copy(block, p)
	if _, err := t.obj.WriteAt(block, 0); err != nil {
		return fmt.Errorf("qcow2: header: %w", err)
	}
	return nil
}

// headerBlock is how much is written for the header: a whole page, as an object
// that bypasses the page cache likes it. Zeros behind the header end the list
// of its extensions.
const headerBlock = 4096

// misuse is the error for a caller that breaks the contract of Target.
func misuse(b *disk.Block, how string) error {
	return fault.Newf(fault.Internal, "HX-QCOW-003", "report it",
		"the block at offset %d of the disk (length %d, encoding %d) %s", b.Off, b.Len, b.Enc, how)
}

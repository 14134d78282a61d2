package vmdk

import (
	"context"
	"crypto/sha256"
	"math"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// descriptorSectors is the room for the descriptor; firstGrain follows,
	// aligned as VMware's own writer does.
	descriptorSectors = 20
	firstGrain        = grainSectors

	// defaultCID is the content id of a disk that no VM has opened yet.
	defaultCID = 0xfffffffe
)

// TargetOptions describe the file that a Target writes.
type TargetOptions struct {
	Size  int64  // capacity in bytes, a positive multiple of 512, at most 64 TiB
	CID   uint32 // content id in the descriptor; 0: the id of a fresh disk
	Level int    // deflate level, 1 to 9; 0: 1, the fastest
}

// Target writes a streamOptimized VMDK from front to back, without ever going
// back in the file: it is a disk.Target and a disk.Resumable. The output
// depends only on the options and the blocks.
//
// It takes zlib grains as they come, deflates raw ones in Encode, and leaves
// out holes. Memory: two chunks of 1 MiB and 4 bytes per 32 MiB of disk, beside
// the deflate states of concurrent Encode calls.
type Target struct {
	size    int64
	cid     uint32
	deflate deflater
	out     *appender

	directory []uint32             // sectors of the tables before index
	table     [tableEntries]uint32 // the table index, not yet written
	index     uint64
	next      uint64 // first grain number that may come
	marked    mark   // what the last Mark has saved
	sum       [sha256.Size]byte
}

// NewTarget begins a file at offset 0 of obj. It writes nothing before the
// first full chunk. Kind Invalid: the options.
func NewTarget(obj disk.Object, o TargetOptions) (*Target, error) {
	if o.Size <= 0 || o.Size%sectorSize != 0 || o.Size > maxSize {
		return nil, fault.Newf(fault.Invalid, codeSize, "give the true capacity of the disk",
			"a VMDK cannot have %d bytes: it must be a multiple of 512, at most 64 TiB", o.Size)
	}
	if o.Level < 0 || o.Level > 9 {
		return nil, fault.Newf(fault.Invalid, codeSize, "use 1 (fast) to 9 (small)", "compression level %d does not exist", o.Level)
	}
	t := &Target{size: o.Size, cid: o.CID, deflate: deflater{level: max(1, o.Level)}, out: newAppender(obj)}
	if t.cid == 0 {
		t.cid = defaultCID
	}
	t.directory = make([]uint32, t.header().directoryEntries())
	return t, t.begin()
}

// header is the header of the file, with the directory at the end.
func (t *Target) header() header {
	return header{
		version:    3,
		flags:      flagNewlines | flagCompressed | flagMarkers,
		capacity:   uint64(t.size) / sectorSize,
		descOffset: 1,
		descSize:   descriptorSectors,
		gdOffset:   gdAtEnd,
		overhead:   firstGrain,
	}
}

// begin stages everything in front of the grains.
func (t *Target) begin() error {
	h := t.header()
	front := make([]byte, firstGrain*sectorSize)
	sector := h.encode()
	copy(front, sector[:])
	copy(front[sectorSize:(1+descriptorSectors)*sectorSize], makeDescriptor(h.capacity, t.cid))
	return t.out.write(front)
}

// Accepts takes zlib grains as they are.
func (t *Target) Accepts(enc disk.Encoding) bool { return enc == disk.Zlib }

// Encode makes the block a zlib stream of a whole grain. Safe for concurrent
// use.
func (t *Target) Encode(b *disk.Block) error { return t.deflate.encode(b) }

// Put appends the grain. Kind Unprocessable: the file would pass the 2 TiB that
// the format can address.
func (t *Target) Put(_ context.Context, b disk.Block) error {
	defer b.Release()
	if b.Enc == disk.Zero {
		return nil
	}
	number := uint64(b.Off) / disk.GrainSize
	if b.Enc != disk.Zlib || b.Off < 0 || b.Off >= t.size || b.Off%disk.GrainSize != 0 || number < t.next || len(b.Data) == 0 {
		return fault.Newf(fault.Internal, codeBlock, "report this", "a block that was not encoded, or is out of order (offset %d)", b.Off)
	}
	if index := number / tableEntries; index != t.index {
		if err := t.closeTable(); err != nil {
			return err
		}
		t.index = index
	}
	sector, err := t.sector()
	if err != nil {
		return err
	}
	t.table[number%tableEntries] = sector
	t.next = number + 1
	return t.writeGrain(marker{value: number * grainSectors, size: uint32(len(b.Data))}, b.Data)
}

func (t *Target) writeGrain(m marker, data []byte) error {
	head := m.encodeGrain()
	if err := t.out.write(head[:]); err != nil {
		return err
	}
	if err := t.out.write(data); err != nil {
		return err
	}
	var pad [sectorSize]byte
	return t.out.write(pad[:padding(len(head)+len(data))])
}

// closeTable writes the table of the grains so far, if there are any.
func (t *Target) closeTable() error {
	if t.table == [tableEntries]uint32{} {
		return nil
	}
	sector, err := t.writeMetadata(markerTable, appendTable(nil, t.table[:]))
	if err != nil {
		return err
	}
	t.directory[t.index] = sector
	clear(t.table[:])
	return nil
}

// writeMetadata writes a marker and, padded, what belongs to it. It returns the
// sector of the latter.
func (t *Target) writeMetadata(kind markerKind, p []byte) (uint32, error) {
	p = append(p, make([]byte, padding(len(p)))...)
	head := marker{value: uint64(len(p)) / sectorSize, kind: kind}.encode()
	if err := t.out.write(head[:]); err != nil {
		return 0, err
	}
	sector, err := t.sector()
	if err != nil {
		return 0, err
	}
	return sector, t.out.write(p)
}

// sector is where the next write goes.
func (t *Target) sector() (uint32, error) {
	s := t.out.pos() / sectorSize
	if s > math.MaxUint32 {
		return 0, fault.New(fault.Unprocessable, codeTooLarge,
			"the compressed disk is larger than 2 TiB, which a streamOptimized VMDK cannot address",
			"export to qcow2 or raw")
	}
	return uint32(s), nil
}

// Finish writes the last table, the directory, the footer and the end of
// stream, and cuts the object off there. It does not sync.
func (t *Target) Finish(context.Context) error {
	if err := t.closeTable(); err != nil {
		return err
	}
	at, err := t.writeMetadata(markerDirectory, appendTable(nil, t.directory))
	if err != nil {
		return err
	}
	h := t.header()
	h.gdOffset = uint64(at)
	footer := h.encode()
	if _, err := t.writeMetadata(markerFooter, footer[:]); err != nil {
		return err
	}
	if _, err := t.writeMetadata(markerEnd, nil); err != nil {
		return err
	}
	if err := t.out.flush(); err != nil {
		return err
	}
	t.sum = t.out.digest()
	return t.out.truncate()
}

// Sum is the SHA-256 and the length in bytes of the whole file, after Finish.
func (t *Target) Sum() (sum [sha256.Size]byte, size int64) { return t.sum, t.out.off }

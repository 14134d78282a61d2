package vmdk

import (
	"encoding/binary"
	"math"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// Geometry of the files that this package reads and writes.
const (
	sectorSize   = 512
	grainSectors = disk.GrainSize / sectorSize
	tableEntries = 512 // grains per table
	tableBytes   = tableEntries * 4
	tableSectors = tableBytes / sectorSize
	tableSpan    = tableEntries * disk.GrainSize // bytes of disk that one table maps

	// maxSize is the largest virtual disk accepted, in bytes; VMware's own
	// limit is 62 TiB. It bounds the grain directory to 8 MiB.
	maxSize = 64 << 40
	// maxDescriptor bounds the embedded or separate descriptor, in bytes.
	maxDescriptor = 64 << 10
)

// Fields of the sparse header.
const (
	magic    = 0x564d444b     // "KDMV"
	gdAtEnd  = math.MaxUint64 // gdOffset: the footer knows
	newlines = "\n \r\n"      // destroyed by a transfer in text mode

	flagNewlines   = 1 << 0
	flagZeroGrain  = 1 << 2 // a table entry of 1 is a grain of zeros
	flagCompressed = 1 << 16
	flagMarkers    = 1 << 17
	flagsIncompat  = 0xffff0000 // a reader must know all of these

	compressNone    = 0
	compressDeflate = 1
)

// header is the sparse header and, in a footer, its copy. Offsets and sizes are
// in sectors.
type header struct {
	version    uint32
	flags      uint32
	capacity   uint64
	descOffset uint64
	descSize   uint64
	gdOffset   uint64
	overhead   uint64 // first sector behind the metadata
}

// parseHeader reads one sector. Only what the whole package supports passes:
// grains of 64 KiB, 512 to a table, 0 < capacity <= maxSize, either compressed
// with markers or plain. gdOffset is not checked.
func parseHeader(p *[sectorSize]byte) (header, error) {
	le := binary.LittleEndian
	if le.Uint32(p[0:]) != magic {
		return header{}, corrupt("it does not begin with a sparse header")
	}
	h := header{
		version:    le.Uint32(p[4:]),
		flags:      le.Uint32(p[8:]),
		capacity:   le.Uint64(p[12:]),
		descOffset: le.Uint64(p[28:]),
		descSize:   le.Uint64(p[36:]),
		gdOffset:   le.Uint64(p[56:]),
		overhead:   le.Uint64(p[64:]),
	}
	if h.flags&flagNewlines != 0 && string(p[73:77]) != newlines {
		return header{}, corrupt("line ends were converted, as by a transfer in text mode")
	}
	if err := h.checkKind(le.Uint64(p[20:]), le.Uint32(p[44:]), le.Uint16(p[77:])); err != nil {
		return header{}, err
	}
	return h, h.checkBounds()
}

// checkKind refuses variants of the format that are not read here. grain is in
// sectors, entries per table.
func (h header) checkKind(grain uint64, entries uint32, compression uint16) error {
	switch {
	case h.version < 1 || h.version > 3:
		return unsupported("version %d of the sparse header", h.version)
	case h.flags&flagsIncompat&^(flagCompressed|flagMarkers) != 0:
		return unsupported("flags %#x of the sparse header", h.flags)
	case h.compressed() != (h.flags&flagMarkers != 0):
		return unsupported("compression without grain markers, or the reverse (flags %#x)", h.flags)
	case h.compressed() && compression != compressDeflate, !h.compressed() && compression != compressNone:
		return unsupported("compression method %d", compression)
	case grain == 0 || grain&(grain-1) != 0:
		return corrupt("a grain size of %d sectors", grain)
	case grain != grainSectors:
		return unsupported("grains of %d sectors instead of %d", grain, grainSectors)
	case entries != tableEntries:
		return unsupported("grain tables of %d entries instead of %d", entries, tableEntries)
	}
	return nil
}

// checkBounds refuses sizes that cannot be true.
func (h header) checkBounds() error {
	// Two sets of tables, a directory each, and room for what tools align.
	most := 2*(h.directorySectors()+h.directoryEntries()*tableSectors) + maxDescriptor/sectorSize + 4*grainSectors
	switch {
	case h.capacity == 0:
		return foreign("the sparse header has no capacity, as in a descriptor for other files")
	case h.capacity > maxSize/sectorSize:
		return corrupt("a capacity of %d sectors, more than 64 TiB", h.capacity)
	case h.overhead == 0 || h.overhead > most:
		return corrupt("%d sectors of metadata in front of the grains, at most %d are possible", h.overhead, most)
	case h.descOffset > h.overhead, h.descSize > maxDescriptor/sectorSize, h.descOffset+h.descSize > h.overhead:
		return corrupt("the descriptor (sector %d, %d sectors) lies outside the metadata", h.descOffset, h.descSize)
	}
	return nil
}

// encode makes the sector of a streamOptimized header as Target writes it.
func (h header) encode() (p [sectorSize]byte) {
	le := binary.LittleEndian
	le.PutUint32(p[0:], magic)
	le.PutUint32(p[4:], h.version)
	le.PutUint32(p[8:], h.flags)
	le.PutUint64(p[12:], h.capacity)
	le.PutUint64(p[20:], grainSectors)
	le.PutUint64(p[28:], h.descOffset)
	le.PutUint64(p[36:], h.descSize)
	le.PutUint32(p[44:], tableEntries)
	le.PutUint64(p[56:], h.gdOffset)
	le.PutUint64(p[64:], h.overhead)
	copy(p[73:], newlines)
	le.PutUint16(p[77:], compressDeflate)
	return p
}

func (h header) compressed() bool { return h.flags&flagCompressed != 0 }

// size is the capacity in bytes.
func (h header) size() int64 { return int64(h.capacity) * sectorSize }

// directoryEntries is the number of grain tables of the disk.
func (h header) directoryEntries() uint64 {
	const tableSectorSpan = tableSpan / sectorSize
	return h.capacity/tableSectorSpan + min(1, h.capacity%tableSectorSpan)
}

// directorySectors is the length of the grain directory.
func (h header) directorySectors() uint64 {
	const perSector = sectorSize / 4
	return (h.directoryEntries() + perSector - 1) / perSector
}

// matches tells whether a footer belongs to this header: same disk, same form.
func (h header) matches(footer header) bool {
	const form = flagCompressed | flagMarkers | flagZeroGrain
	return h.capacity == footer.capacity && h.flags&form == footer.flags&form
}

// grainLen is the length in bytes of the grain that starts at off: less than
// GrainSize for the last one of an odd disk.
func grainLen(off, size int64) int64 { return min(disk.GrainSize, size-off) }

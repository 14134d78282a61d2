// Package qcow2 reads and writes QEMU's disk image format, as docs/interop/qcow2.txt
// of QEMU specifies it. The writer is a [disk.Target] that streams: it writes
// ascending, keeps tables of constant size in memory, and the header last. The
// reader is a [disk.Source] that trusts no field of the file.
//
// A compressed cluster of the writer and a grain of a streamOptimized VMDK hold
// the same: one deflate stream of 64 KiB of disk. Such a grain passes through
// without being compressed again. Its window is 32 KiB, as RFC 1951 allows and
// VMDK makes it, while QEMU itself compresses with a window of 4 KiB; it reads
// both, because it inflates into one whole buffer.
package qcow2

import "github.com/hypersdk/hypersdk/internal/disk"

// Compression is how the writer stores clusters.
type Compression uint8

// The compressions. Clusters that do not get smaller are stored plain.
const (
	None Compression = iota
	Zlib             // raw deflate, which every reader of qcow2 knows
	Zstd             // QEMU 5.1 or later
)

// Geometry of what the writer makes, in bytes unless said otherwise. The
// reader takes the cluster size from the header.
const (
	clusterBits = 16
	clusterSize = 1 << clusterBits
	tableSpan   = clusterSize / entrySize * clusterSize // of disk, per L2 table
	blockRefs   = clusterSize / refSize                 // clusters that one refcount block counts
	blockSpan   = blockRefs * clusterSize               // of file, per refcount block

	sectorBits = 9
	sectorSize = 1 << sectorBits
	entrySize  = 8 // of L1, L2 and the refcount table
	refSize    = 2 // of a refcount
)

// The arrays below would not compile if a cluster were not a grain.
var (
	_ [clusterSize - disk.GrainSize]struct{}
	_ [disk.GrainSize - clusterSize]struct{}
)

// Bits of L1 and L2 entries (sections "Cluster mapping" and "L2 table entry").
const (
	entryCopied     = 1 << 63 // the refcount is exactly one
	entryCompressed = 1 << 62
	entryZero       = 1 << 0 // version 3: reads as zero
	entryOffset     = 0x00ff_ffff_ffff_fe00
)

// packed is the place of a compressed cluster in the file: bytes from off on,
// up to the end of the last of so many sectors. Only the stream itself knows
// where in that sector it ends.
type packed struct{ off, sectors int64 }

// entry returns the L2 entry for clusters of the given size.
func (p packed) entry(clusterBits uint) uint64 {
	return entryCompressed | uint64(p.sectors-1)<<packedShift(clusterBits) | uint64(p.off)
}

// end returns the offset behind the last sector.
func (p packed) end() int64 { return (p.off>>sectorBits + p.sectors) << sectorBits }

// packedShift tells how many bits the offset takes in a compressed L2 entry.
func packedShift(clusterBits uint) uint { return 62 - (clusterBits - 8) }

// packedAt is the place of n bytes stored at off.
func packedAt(off, n int64) packed {
	return packed{off: off, sectors: (off+n-1)>>sectorBits - off>>sectorBits + 1}
}

// parsePacked reads a compressed L2 entry. No value of it is out of range.
func parsePacked(entry uint64, clusterBits uint) packed {
	shift := packedShift(clusterBits)
	return packed{
		off:     int64(entry & (1<<shift - 1)),
		sectors: int64(entry&^(entryCopied|entryCompressed)>>shift) + 1,
	}
}

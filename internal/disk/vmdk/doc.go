// Package vmdk reads and writes VMware virtual disks: the streamOptimized form
// that vSphere exports and OVF packages carry (Stream, Target), and, by random
// access, also monolithicSparse and monolithicFlat (Open).
//
// A streamOptimized file is a sequence of sectors of 512 bytes:
//
//	header "KDMV" | descriptor (text) | padding up to overHead
//	{ grain marker {lba u64, size u32}, zlib data, padding } ...
//	  after the grains of one table (512 grains, 32 MiB of disk):
//	  marker {4, 0, table}, 512 × u32: the sector of each grain marker, or 0
//	marker {n, 0, directory}, one u32 per table: its sector, or 0
//	marker {1, 0, footer}, the header again with the directory's place
//	marker {0, 0, end of stream}
//
// This is what ESXi and VMware's own tools send ("Virtual Disk Format 5.0").
// qemu-img and open-vmdk write directory and tables in front of the grains
// instead, because they can seek, and no footer; the file ends with the grains,
// perhaps followed by a few sectors of zeros.
//
// Nothing in the file says how long it is, and a sector of zeros is a valid end
// of stream. So a reader here believes an end only when the tables list exactly
// the grains that it saw, at the very places where it saw them.
//
// Every file is hostile: lengths are bounded before they are used, a descriptor
// never makes this package open a file, and a grain larger than a disk.Buffer is
// refused.
package vmdk

package vmdk

import (
	"encoding/binary"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// walk is one pass over the tables of a sparse file.
type walk struct {
	*sparse
	from   int64
	window window
	tables int64 // how many were read
	grains int64 // bytes of the grains that were read, with markers and padding
	listed int64 // grains that the tables list
}

// table yields the grains of one table. It returns false to stop.
func (w *walk) table(index int64, yield func(disk.Block, error) bool) bool {
	entries, err := w.entries(index)
	if err != nil {
		yield(disk.Block{}, err)
		return false
	}
	for i, sector := range entries {
		off := index*tableSpan + int64(i)*disk.GrainSize
		if sector == 0 || sector == 1 && w.h.flags&flagZeroGrain != 0 {
			continue
		}
		if w.listed++; off < w.from {
			continue
		}
		b, err := w.grain(off, int64(sector)*sectorSize)
		if err != nil {
			yield(disk.Block{}, err)
			return false
		}
		if !yield(b, nil) {
			return false
		}
	}
	return true
}

// entries reads a table; nil if the directory has none.
func (w *walk) entries(index int64) ([]uint32, error) {
	sector := w.directory[index]
	if sector == 0 {
		return nil, nil
	}
	var p [tableBytes]byte
	w.tables++
	if err := w.claim(int64(sector) * sectorSize); err != nil {
		return nil, err
	}
	if err := w.f.read(p[:], int64(sector)*sectorSize, "a grain table"); err != nil {
		return nil, err
	}
	entries := make([]uint32, tableEntries)
	decodeTable(entries, p[:])
	return entries, nil
}

// claim refuses what makes the tables and grains so far longer than the file:
// then entries share a place, by which a small file could pose as a huge one.
func (w *walk) claim(at int64) error {
	if at == 0 || w.tables*tableBytes+w.grains > w.f.size {
		return corrupt("tables share their content or point at the header (byte %d)", at)
	}
	return nil
}

// grain reads the grain at byte at of the file, which is at off on the disk.
func (w *walk) grain(off, at int64) (disk.Block, error) {
	if off >= w.info.Size {
		return disk.Block{}, corrupt("a table lists a grain beyond the end of the disk (offset %d)", off)
	}
	if w.h.compressed() {
		return w.compressed(off, at)
	}
	n := grainLen(off, w.info.Size)
	w.grains += n
	if err := w.claim(at); err != nil {
		return disk.Block{}, err
	}
	buf := disk.GetBuffer()
	if err := w.f.read(buf.B[:n], at, "a grain"); err != nil {
		buf.Release()
		return disk.Block{}, err
	}
	return disk.NewBlock(off, n, disk.Raw, buf.B[:n], buf), nil
}

// compressed reads a grain behind its marker, which must name the place on the
// disk that the table gave.
func (w *walk) compressed(off, at int64) (disk.Block, error) {
	head, err := w.window.at(w.f, at, grainMarkerSize, "a grain marker")
	if err != nil {
		return disk.Block{}, err
	}
	lba, size := binary.LittleEndian.Uint64(head), binary.LittleEndian.Uint32(head[8:])
	if lba != uint64(off)/sectorSize || size == 0 || size > disk.BufferSize {
		return disk.Block{}, corrupt("the marker at byte %d names sector %d and %d bytes of data, the table sector %d", at, lba, size, off/sectorSize)
	}
	w.grains += int64(grainSpan(size))
	if err := w.claim(at); err != nil {
		return disk.Block{}, err
	}
	data, err := w.window.at(w.f, at+grainMarkerSize, int(size), "a grain")
	if err != nil {
		return disk.Block{}, err
	}
	buf := disk.GetBuffer()
	return zlibBlock(off, w.info.Size, buf, copy(buf.B, data))
}

// windowSize is how much a compressed file is read at a time, in bytes: several
// grains, which mostly lie one behind the other.
const windowSize = 256 << 10

// window is the part of a file that was read last.
type window struct {
	buf   []byte
	off   int64
	valid int
}

// at returns n bytes at off, valid until the next call. n <= windowSize.
func (w *window) at(f file, off int64, n int, what string) ([]byte, error) {
	if off >= w.off && off+int64(n) <= w.off+int64(w.valid) {
		return w.buf[off-w.off:][:n], nil
	}
	if w.buf == nil {
		w.buf = make([]byte, windowSize)
	}
	w.valid = 0
	length := max(n, int(min(windowSize, f.size-off)))
	if err := f.read(w.buf[:length], off, what); err != nil {
		return nil, err
	}
	w.off, w.valid = off, length
	return w.buf[:n], nil
}

package vmdk

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// account proves, after a walk over all tables of a compressed file, that the
// file has no grain beyond those that they list: a writer that damages its
// tables must not pass for one that had nothing to write. Mostly the lengths
// tell; where they do not (markers of progress, empty tables, a walk that did
// not start at 0) it hops over the markers.
func (w *walk) account(ctx context.Context) error {
	if !w.h.compressed() {
		return nil
	}
	if w.grains+w.frame() == w.f.size {
		return nil
	}
	found, err := w.scan(ctx)
	if err != nil {
		return err
	}
	if found != w.listed {
		return corrupt("it has %d grains, but its tables list %d", found, w.listed)
	}
	return nil
}

// frame is the length in bytes of everything but the grains.
func (w *walk) frame() int64 {
	n := int64(w.h.overhead)
	if w.atEnd {
		n += w.tables * (1 + tableSectors) // with their markers
		n += int64(w.h.directorySectors()) + 1 + 3
	}
	return n * sectorSize
}

// scan counts the grains by hopping from marker to marker to the end of file.
func (w *walk) scan(ctx context.Context) (grains int64, err error) {
	pos, size := w.h.overhead*sectorSize, uint64(w.f.size)
	var p [markerSize]byte
	for pos < size {
		if err := context.Cause(ctx); err != nil {
			return 0, err
		}
		if err := w.f.read(p[:], int64(pos), "a marker"); err != nil {
			return 0, err
		}
		m := parseMarker(p[:])
		switch {
		case m.size > disk.BufferSize, m.size == 0 && m.value > size/sectorSize:
			return 0, corrupt("no marker at byte %d", pos)
		case m.size != 0:
			grains++
			pos += grainSpan(m.size)
		default:
			pos += (1 + m.value) * sectorSize
		}
	}
	if pos != size {
		return 0, truncated("the last marker reaches %d bytes beyond the file", pos-size)
	}
	return grains, nil
}

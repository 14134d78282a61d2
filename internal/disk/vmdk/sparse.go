package vmdk

import (
	"context"
	"iter"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// sparse reads a sparse file through its directory and tables.
type sparse struct {
	f         file
	h         header // with the true gdOffset
	info      disk.Info
	atEnd     bool // directory and tables lie behind the grains
	directory []uint32
}

// openSparse reads header, descriptor, footer and directory.
func openSparse(f file, info disk.Info) (*sparse, error) {
	var sector [sectorSize]byte
	if err := f.read(sector[:], 0, "the header"); err != nil {
		return nil, err
	}
	h, err := parseHeader(&sector)
	if err != nil {
		return nil, err
	}
	s := &sparse{f: f, h: h, info: info}
	s.info.Size = h.size()
	if err := s.checkDescriptor(); err != nil {
		return nil, err
	}
	if h.gdOffset == gdAtEnd {
		if err := s.readFooter(); err != nil {
			return nil, err
		}
	}
	return s, s.readDirectory()
}

// checkDescriptor refuses a part of a disk and a disk with a parent.
func (s *sparse) checkDescriptor() error {
	if s.h.descOffset == 0 || s.h.descSize == 0 {
		return foreign("a sparse file without a descriptor is a part of a disk in several files")
	}
	text := make([]byte, s.h.descSize*sectorSize)
	if err := s.f.read(text, int64(s.h.descOffset)*sectorSize, "the descriptor"); err != nil {
		return err
	}
	d, err := parseDescriptor(text)
	if err != nil {
		return err
	}
	return d.checkEmbedded()
}

// readFooter takes the last three sectors: marker, footer, end of stream.
func (s *sparse) readFooter() error {
	var p [3 * sectorSize]byte
	if s.f.size%sectorSize != 0 {
		return truncated("%d bytes are not whole sectors", s.f.size)
	}
	if err := s.f.read(p[:], s.f.size-int64(len(p)), "the footer"); err != nil {
		return err
	}
	before, after := parseMarker(p[:]), parseMarker(p[2*sectorSize:])
	if before != (marker{value: 1, kind: markerFooter}) || after != (marker{kind: markerEnd}) {
		return truncated("there is no footer and end of stream in the last 1536 bytes")
	}
	footer, err := parseHeader((*[sectorSize]byte)(p[sectorSize:]))
	if err != nil {
		return err
	}
	if !s.h.matches(footer) {
		return corrupt("header and footer contradict each other")
	}
	s.h.gdOffset, s.atEnd = footer.gdOffset, true
	return nil
}

func (s *sparse) readDirectory() error {
	const most = maxSize / sectorSize // keeps the products below in range
	at, length := s.h.gdOffset, s.h.directorySectors()
	if at == 0 || at > most || (at+length)*sectorSize > uint64(s.f.size) {
		return truncated("the grain directory should be at sector %d, but the file has %d bytes", at, s.f.size)
	}
	p := make([]byte, length*sectorSize)
	if err := s.f.read(p, int64(at)*sectorSize, "the grain directory"); err != nil {
		return err
	}
	s.directory = make([]uint32, s.h.directoryEntries())
	decodeTable(s.directory, p)
	return nil
}

// Info describes the disk.
func (s *sparse) Info() disk.Info { return s.info }

// Close does nothing: the reader belongs to the caller.
func (s *sparse) Close() error { return nil }

// Blocks yields the allocated grains: as zlib, or raw if the file is not
// compressed or the grain is a short last one. It ends without an error only if
// a compressed file has no grain that the tables do not list.
func (s *sparse) Blocks(ctx context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		w := walk{sparse: s, from: from}
		for index := range int64(len(s.directory)) {
			if err := context.Cause(ctx); err != nil {
				yield(disk.Block{}, err)
				return
			}
			if !w.table(index, yield) {
				return
			}
		}
		if err := w.account(ctx); err != nil {
			yield(disk.Block{}, err)
		}
	}
}

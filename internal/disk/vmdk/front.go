package vmdk

import (
	"cmp"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// readFront reads what lies before the grains: header, descriptor, and the
// tables if they are here. size is the expected capacity in bytes, or 0.
func (s *Stream) readFront(size int64) error {
	var sector [sectorSize]byte
	if err := s.in.full(sector[:], "the header"); err != nil {
		return err
	}
	h, err := parseHeader(&sector)
	if err != nil {
		return err
	}
	if !h.compressed() {
		return unsupported("a sparse file without compression cannot be read as a stream")
	}
	if size != 0 && h.size() != size {
		return fault.Newf(fault.Corrupt, codeMismatch, "export again; if it stays, refresh the inventory",
			"the VMDK is for a disk of %d bytes, but the disk has %d", h.size(), size)
	}
	s.h, s.tables = h, newTables(h)
	if err := s.readDescriptor(); err != nil {
		return err
	}
	if h.gdOffset != gdAtEnd {
		if err := s.readFrontTables(); err != nil {
			return err
		}
	}
	return s.in.seek(h.overhead, "first grain")
}

// readDescriptor checks the embedded descriptor, if there is one.
func (s *Stream) readDescriptor() error {
	if s.h.descOffset == 0 || s.h.descSize == 0 {
		return nil
	}
	if err := s.in.seek(s.h.descOffset, "descriptor"); err != nil {
		return err
	}
	text := make([]byte, s.h.descSize*sectorSize)
	if err := s.in.full(text, "the descriptor"); err != nil {
		return err
	}
	d, err := parseDescriptor(text)
	if err != nil {
		return err
	}
	return d.checkEmbedded()
}

// readFrontTables reads the grain directory and the tables behind it, as
// qemu-img and open-vmdk place them.
func (s *Stream) readFrontTables() error {
	if s.h.gdOffset > s.h.overhead || s.h.directorySectors() > s.h.overhead-s.h.gdOffset {
		return corrupt("the grain directory (sector %d) is neither before the grains nor at the end", s.h.gdOffset)
	}
	if err := s.in.seek(s.h.gdOffset, "grain directory"); err != nil {
		return err
	}
	if err := s.readDirectory(); err != nil {
		return err
	}
	var table [tableBytes]byte
	for _, sector := range slices.SortedFunc(slices.Values(s.directory), cmp.Compare[uint32]) {
		if sector == 0 {
			continue
		}
		if uint64(sector)+tableSectors > s.h.overhead {
			return corrupt("a grain table (sector %d) lies behind the first grain", sector)
		}
		if err := s.in.seek(uint64(sector), "grain table"); err != nil {
			return err
		}
		if err := s.in.full(table[:], "a grain table"); err != nil {
			return err
		}
		s.tables.state(uint64(sector), table[:])
	}
	return nil
}

// readDirectory takes the grain directory, which starts here.
func (s *Stream) readDirectory() error {
	p := make([]byte, s.h.directorySectors()*sectorSize)
	if err := s.in.full(p, "the grain directory"); err != nil {
		return err
	}
	s.directory = make([]uint32, s.h.directoryEntries())
	decodeTable(s.directory, p)
	return nil
}

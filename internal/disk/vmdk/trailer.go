package vmdk

// metadata reads the metadata of a marker.
func (s *Stream) metadata(m marker) error {
	if m.kind != markerEnd && m.kind != markerProgress && s.h.gdOffset != gdAtEnd {
		return corrupt("a second set of tables at byte %d", s.in.pos)
	}
	at := s.in.pos
	var sector [sectorSize]byte
	if err := s.in.full(sector[:], "a marker"); err != nil {
		return err
	}
	switch m.kind {
	case markerProgress:
		return nil
	case markerTable:
		return s.table(m)
	case markerDirectory:
		return s.directoryAtEnd(m)
	case markerFooter:
		return s.readFooter(m)
	case markerEnd:
		if sector == [sectorSize]byte{} {
			return s.endMarker()
		}
	}
	return corrupt("no valid marker at byte %d (type %d, %d sectors)", at, m.kind, m.value)
}

func (s *Stream) table(m marker) error {
	switch {
	case m.value != tableSectors:
		return corrupt("a grain table of %d sectors at byte %d", m.value, s.in.pos)
	case s.closing():
		return corrupt("a grain table at byte %d follows the grain directory", s.in.pos)
	case uint64(len(s.tables.stated)) >= s.h.directoryEntries():
		return corrupt("more grain tables than the disk can have, at byte %d", s.in.pos)
	}
	sector := uint64(s.in.pos) / sectorSize
	var p [tableBytes]byte
	if err := s.in.full(p[:], "a grain table"); err != nil {
		return err
	}
	s.tables.state(sector, p[:])
	return nil
}

// directoryAtEnd reads the directory and checks all tables against the grains.
// The place of the directory is kept for the footer.
func (s *Stream) directoryAtEnd(m marker) error {
	if m.value != s.h.directorySectors() || s.closing() {
		return corrupt("a second grain directory, or one of a wrong length (%d sectors), at byte %d", m.value, s.in.pos)
	}
	s.directoryAt = s.in.pos
	if err := s.readDirectory(); err != nil {
		return err
	}
	return s.tables.verify(s.directory)
}

func (s *Stream) readFooter(m marker) error {
	if m.value != 1 || !s.closing() || s.footer {
		return corrupt("an unexpected footer at byte %d", s.in.pos)
	}
	var sector [sectorSize]byte
	if err := s.in.full(sector[:], "the footer"); err != nil {
		return err
	}
	f, err := parseHeader(&sector)
	if err != nil {
		return err
	}
	if !s.h.matches(f) || f.gdOffset != uint64(s.directoryAt)/sectorSize {
		return corrupt("header and footer contradict each other")
	}
	s.footer = true
	return nil
}

// endMarker has seen the end-of-stream marker, which is a sector of zeros. With
// the tables in front there may be several: qemu-img fills up the place of its
// last grain to 64 KiB.
func (s *Stream) endMarker() error {
	s.tail++
	if s.h.gdOffset != gdAtEnd {
		if s.tail > grainSectors {
			return corrupt("more than 64 KiB of zeros behind the grains, up to byte %d", s.in.pos)
		}
		return nil // end checks
	}
	if !s.footer {
		return corrupt("a sector of zeros (or an end of stream without footer) at byte %d", s.in.pos-sectorSize)
	}
	last, err := s.in.atEnd()
	if err != nil {
		return err
	}
	if !last {
		return corrupt("data follows the end of stream at byte %d", s.in.pos)
	}
	s.ended = true
	return nil
}

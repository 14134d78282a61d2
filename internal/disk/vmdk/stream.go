package vmdk

import (
	"io"
	"iter"
	"math"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// StreamOptions modify ReadStream.
type StreamOptions struct {
	// Size is the capacity in bytes that the disk must have; 0 if unknown.
	Size int64
}

// Stream reads a streamOptimized VMDK that arrives once, forward, with unknown
// length. It starts no goroutines and needs no closing. Memory is bounded by
// the directory: 20 bytes per 32 MiB of disk, beside the buffers of the blocks.
type Stream struct {
	in          *input
	h           header
	tables      *tables
	directory   []uint32 // nil until it was read
	directoryAt int64    // its byte offset, if it is at the end
	next        uint64   // first grain number that may come
	footer      bool     // the footer was seen and is right
	tail        int      // end-of-stream markers so far
	ended       bool
}

// ReadStream reads up to the first grain. Kind Corrupt: not a VMDK, damaged, or
// cut off (CodeTruncated); Unprocessable: a form that cannot be streamed or
// refers to other files; otherwise the kind of r's error, or Unavailable.
func ReadStream(r io.Reader, o StreamOptions) (*Stream, error) {
	s := &Stream{in: newInput(r)}
	if err := s.readFront(o.Size); err != nil {
		return nil, err
	}
	return s, nil
}

// Size is the capacity of the disk in bytes.
func (s *Stream) Size() int64 { return s.h.size() }

// Blocks yields the grains in ascending order, compressed as they came; only a
// short last grain comes Raw. Their content is not inflated, so not checked. It
// can be ranged over once. An end without an error proves that the file was
// complete: its tables list exactly the grains that were yielded, and nothing
// follows.
func (s *Stream) Blocks() iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		for !s.ended {
			b, err := s.step()
			if err != nil {
				s.ended = true
				yield(disk.Block{}, err)
				return
			}
			if b.Data != nil && !yield(b, nil) {
				return
			}
		}
	}
}

// step reads one marker and what belongs to it. The block is empty if that was
// no grain.
func (s *Stream) step() (disk.Block, error) {
	m, ok, err := s.in.marker()
	switch {
	case err != nil:
		return disk.Block{}, err
	case !ok:
		return disk.Block{}, s.end()
	case s.in.pos/sectorSize > math.MaxUint32-tableEntries:
		return disk.Block{}, corrupt("it is longer than the 2 TiB that its tables can address")
	case m.size == 0:
		return disk.Block{}, s.metadata(m)
	default:
		return s.grain(m)
	}
}

// grain reads the grain of a marker.
func (s *Stream) grain(m marker) (disk.Block, error) {
	if err := s.checkGrain(m); err != nil {
		return disk.Block{}, err
	}
	number := m.value / grainSectors
	s.tables.grain(number, uint32(s.in.pos/sectorSize))
	s.next = number + 1
	if err := s.in.skip(grainMarkerSize, "a grain marker"); err != nil {
		return disk.Block{}, err
	}
	buf, n := disk.GetBuffer(), int(m.size)
	err := s.in.full(buf.B[:n], "a grain")
	if err == nil {
		err = s.in.skip(int64(padding(grainMarkerSize+n)), "the padding of a grain")
	}
	if err != nil {
		buf.Release()
		return disk.Block{}, err
	}
	return zlibBlock(int64(number)*disk.GrainSize, s.Size(), buf, n)
}

func (s *Stream) checkGrain(m marker) error {
	number := m.value / grainSectors
	switch {
	case m.value%grainSectors != 0 || m.value >= s.h.capacity:
		return corrupt("at byte %d there is a grain for sector %d of a disk of %d sectors", s.in.pos, m.value, s.h.capacity)
	case m.size > disk.BufferSize:
		return corrupt("the grain at byte %d claims %d bytes of data; a grain of 64 KiB never needs more than %d", s.in.pos, m.size, disk.BufferSize)
	case number < s.next:
		return unsupported("at byte %d the grain for sector %d comes out of order, so it cannot be read as a stream", s.in.pos, m.value)
	case s.closing() || s.tail > 0:
		return corrupt("a grain at byte %d follows the grain directory or the end of stream", s.in.pos)
	}
	return nil
}

// closing tells whether the directory at the end was reached.
func (s *Stream) closing() bool { return s.h.gdOffset == gdAtEnd && s.directory != nil }

// end is called where the stream ended at the border of a sector.
func (s *Stream) end() error {
	s.ended = true
	if s.h.gdOffset == gdAtEnd {
		return truncated("it stops at byte %d without footer and end-of-stream marker", s.in.pos)
	}
	if n := s.tables.missing(); n > 0 {
		return truncated("it stops at byte %d, %d grains before the end of its tables", s.in.pos, n)
	}
	return s.tables.verify(s.directory)
}

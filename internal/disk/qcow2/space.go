package qcow2

import (
	"encoding/binary"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// space lays out the file in one ascending sweep and counts the users of each
// host cluster. In front come the header, the L1 table and the refcount table,
// all of a size that is known from the virtual size. Behind them data, L2 tables
// and refcount blocks follow in the order in which they are complete: a refcount
// block is the first cluster behind the 2 GiB of file that it counts.
type space struct {
	out    stage
	tables []byte // L1 and refcount tables, which lie in the file at clusterSize
	refTab []byte // the second part of tables
	refs   []byte // the refcount block in the making
	block  int64  // its index
	gap    extent // room in a cluster behind compressed data, while it is staged
}

// extent is a range of the file.
type extent struct{ off, end int64 }

func (e extent) len() int64 { return e.end - e.off }

// newSpace plans the file of a disk.
func newSpace(obj disk.Object, size int64) space {
	l1 := roundUp(ceilDiv(size, tableSpan)*entrySize, clusterSize)
	rt := roundUp(ceilDiv(maxFile(size), blockSpan)*entrySize, clusterSize)
	s := space{
		out:    stage{obj: obj, buf: make([]byte, stageSize)},
		tables: make([]byte, l1+rt),
		refs:   make([]byte, clusterSize),
	}
	s.refTab = s.tables[l1:]
	s.reset()
	return s
}

// reset makes the space empty, apart from what lies in front.
func (s *space) reset() {
	clear(s.tables)
	clear(s.refs)
	head := clusterSize + int64(len(s.tables))
	s.out.base, s.out.n = head, 0
	s.block, s.gap = 0, extent{}
	s.use(0, head)
}

// maxFile bounds the length of the file. No cluster of the disk, no L2 table
// and no refcount block takes more than two clusters of the file, padding and
// the alignment by Mark included; one part in 64 is more than all tables take.
func maxFile(size int64) int64 {
	n := 2 * (size + clusterSize)
	return n + n/64 + 64*clusterSize
}

func (s *space) setTable(i, off int64) {
	binary.BigEndian.PutUint64(s.tables[i*entrySize:], entryCopied|uint64(off))
}

func (s *space) setBlock(i, off int64) {
	binary.BigEndian.PutUint64(s.refTab[i*entrySize:], uint64(off))
}

// use counts one more user of each cluster in a range of the current refcount
// block. It cannot overflow: 64 KiB of disk compress to a dozen bytes at least.
func (s *space) use(off, n int64) {
	for c := off / clusterSize; c <= (off+n-1)/clusterSize; c++ {
		ref := s.refs[c%blockRefs*refSize:]
		binary.BigEndian.PutUint16(ref, binary.BigEndian.Uint16(ref)+1)
	}
}

// reserve makes sure that the next n bytes, at most a cluster, are counted by
// the current refcount block, and begins another one if not. No gap survives
// that: its border is one at which the stage has been written out.
func (s *space) reserve(n int64) error {
	if s.out.pos()+n <= (s.block+1)*blockSpan {
		return nil
	}
	if err := s.out.pad(clusterSize); err != nil {
		return err
	}
	off := s.out.pos() // the first cluster of the next span
	s.setBlock(s.block, off)
	if err := s.out.append(s.refs); err != nil {
		return err
	}
	clear(s.refs)
	s.block++
	s.use(off, clusterSize)
	return nil
}

// cluster stores up to a cluster of bytes in a cluster of its own, and returns
// its offset.
func (s *space) cluster(p []byte) (int64, error) {
	from := s.out.pos()
	if err := s.out.pad(clusterSize); err != nil {
		return 0, err
	}
	if gap := (extent{from, s.out.pos()}); gap.len() > s.gap.len() || !s.out.holds(s.gap.off) {
		s.gap = gap
	}
	if err := s.reserve(clusterSize); err != nil {
		return 0, err
	}
	off := s.out.pos()
	s.use(off, clusterSize)
	if err := s.out.append(p); err != nil {
		return 0, err
	}
	return off, s.out.pad(clusterSize)
}

// pack stores compressed bytes, fewer than a cluster, behind the last ones, or
// in the gap that a plain cluster has left if they fit there.
func (s *space) pack(p []byte) (packed, error) {
	n := int64(len(p))
	if n <= s.gap.len() && s.out.holds(s.gap.off) {
		at := packedAt(s.gap.off, n)
		s.out.patch(at.off, p)
		s.gap.off += n
		s.use(at.off, n)
		return at, nil
	}
	if err := s.reserve(n); err != nil {
		return packed{}, err
	}
	at := packedAt(s.out.pos(), n)
	s.use(at.off, n)
	return at, s.out.append(p)
}

// close stores the last refcount block, which counts itself, and writes out
// everything but the header and the tables behind it.
func (s *space) close() error {
	if err := s.out.pad(clusterSize); err != nil {
		return err
	}
	if err := s.reserve(clusterSize); err != nil {
		return err
	}
	off := s.out.pos()
	s.setBlock(s.block, off)
	s.use(off, clusterSize)
	if err := s.out.append(s.refs); err != nil {
		return err
	}
	return s.out.flush()
}

func ceilDiv(a, b int64) int64 { return (a + b - 1) / b }

func roundUp(a, b int64) int64 { return ceilDiv(a, b) * b }

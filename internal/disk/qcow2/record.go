package qcow2

import (
	"encoding/binary"
	"math"
)

// indexes is a range of entries in a table of one cluster.
type indexes struct{ from, to int64 }

// Entries of an L2 table are stored as runs: how many unused entries come
// before, the form and length, and how far the place in the file is from the
// end of what came before. A run is a number of plain clusters in a row, or one
// compressed cluster with its number of sectors.

// appendEntries adds the used entries in a range of an L2 table.
func appendEntries(p, l2 []byte, in indexes) []byte {
	entry := func(i int64) uint64 { return binary.BigEndian.Uint64(l2[i*entrySize:]) }
	used, last := in.from, int64(0)
	for i := in.from; i < in.to; {
		e := entry(i)
		if e == 0 {
			i++
			continue
		}
		p = binary.AppendUvarint(p, uint64(i-used)+1)
		if e&entryCompressed != 0 {
			at := parsePacked(e, clusterBits)
			p = binary.AppendUvarint(p, uint64(at.sectors)<<1|1)
			p = binary.AppendVarint(p, at.off-last)
			last = at.end()
			i++
		} else {
			run := int64(1)
			for i+run < in.to && entry(i+run) == e+uint64(run*clusterSize) {
				run++
			}
			off := int64(e & entryOffset)
			p = binary.AppendUvarint(p, uint64(run)<<1)
			p = binary.AppendVarint(p, off-last)
			last = off + run*clusterSize
			i += run
		}
		used = i
	}
	return append(p, 0)
}

// appendRefs adds the counts in a range of a refcount block, as runs of equal ones.
func appendRefs(p, refs []byte, in indexes) []byte {
	count := func(i int64) uint16 { return binary.BigEndian.Uint16(refs[i*refSize:]) }
	for i := in.from; i < in.to; {
		run := int64(1)
		for i+run < in.to && count(i+run) == count(i) {
			run++
		}
		p = binary.AppendUvarint(p, uint64(run))
		p = binary.AppendUvarint(p, uint64(count(i)))
		i += run
	}
	return p
}

// recordReader takes a record apart. After the first value that is missing or
// out of bounds it is bad and gives zeros.
type recordReader struct {
	p   []byte
	bad bool
}

func (r *recordReader) fail() int64 {
	r.bad, r.p = true, nil
	return 0
}

func (r *recordReader) byte() byte {
	if len(r.p) == 0 {
		return byte(r.fail())
	}
	b := r.p[0]
	r.p = r.p[1:]
	return b
}

// value reads a number from 0 to most.
func (r *recordReader) value(most int64) int64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 || v > math.MaxInt64 || int64(v) > most {
		return r.fail()
	}
	r.p = r.p[n:]
	return int64(v)
}

func (r *recordReader) between(least, most int64) int64 {
	if v := r.value(most); v >= least {
		return v
	}
	return r.fail()
}

// near reads a place in the file below limit, relative to another.
func (r *recordReader) near(other, limit int64) int64 {
	v, n := binary.Varint(r.p)
	if n <= 0 || v < -other || v >= limit-other {
		return r.fail()
	}
	r.p = r.p[n:]
	return other + v
}

// delta reads what appendDelta wrote, into the tables of t.
func (r *recordReader) delta(t *Target, was, now mark) {
	for i := max(was.table, 0); i < now.table; i++ {
		if off := r.value(now.pos - 1); off%clusterSize != 0 {
			r.fail()
		} else if off != 0 {
			t.space.setTable(i, off)
		}
	}
	for i := was.block; i < now.block; i++ {
		t.space.setBlock(i, r.value(now.pos-1))
	}
	if was.table != now.table {
		clear(t.l2)
	}
	r.entries(t.l2, freshEntries(was, now), now.pos)
	if was.block != now.block {
		clear(t.space.refs)
	}
	r.refs(t.space.refs, freshRefs(was, now))
}

// entries reads what appendEntries wrote; all places lie below limit.
func (r *recordReader) entries(l2 []byte, in indexes, limit int64) {
	const maxSectors = clusterSize/sectorSize + 1
	i, last := in.from, int64(0)
	for skip := r.value(in.to - i + 1); skip > 0; skip = r.value(in.to - i + 1) {
		i += skip - 1
		form := r.value(math.MaxUint32)
		off, run := r.near(last, limit), form>>1
		e := entryCopied | uint64(off)
		last = off + run*clusterSize
		if form&1 != 0 {
			at := packed{off: off, sectors: min(run, maxSectors)}
			run, e, last = 1, at.entry(clusterBits), at.end()
		}
		if r.bad || run < 1 || run > in.to-i || last > limit {
			r.fail()
			return
		}
		for ; run > 0; run-- {
			binary.BigEndian.PutUint64(l2[i*entrySize:], e)
			i, e = i+1, e+clusterSize
		}
	}
}

// refs reads what appendRefs wrote.
func (r *recordReader) refs(refs []byte, in indexes) {
	for i := in.from; i < in.to; {
		run := r.between(1, in.to-i)
		count := r.value(math.MaxUint16)
		if r.bad {
			return
		}
		for ; run > 0; run-- {
			binary.BigEndian.PutUint16(refs[i*refSize:], uint16(count))
			i++
		}
	}
}

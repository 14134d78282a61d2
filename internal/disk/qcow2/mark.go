package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// recordVersion is the first byte of a record.
const recordVersion = 1

// markAlign is the alignment of the position at a Mark. What follows begins in a
// fresh page, so that nothing durable is written a second time and torn by a
// power cut.
const markAlign = 4096

// mark tells how far a Target has come. The tables only grow, so two of them
// say which entries of the tables are new in between.
type mark struct {
	pos   int64 // length of the file
	end   int64 // of the last block of data on the disk
	table int64 // the L2 table in the making
	block int64 // the refcount block in the making
}

func (t *Target) state() mark {
	return mark{pos: t.space.out.pos(), end: t.end, table: t.table, block: t.space.block}
}

// Mark writes out what is staged and syncs the object. The record holds what
// the tables have gained since the last Mark: some 6 bytes per compressed
// cluster, and a few per run of plain ones. It is nil if there was no data.
func (t *Target) Mark() ([]byte, error) {
	if t.end == t.marked.end {
		return nil, nil
	}
	if err := t.space.out.pad(markAlign); err != nil {
		return nil, err
	}
	if err := t.space.out.flush(); err != nil {
		return nil, err
	}
	if err := t.obj.Sync(); err != nil {
		return nil, fmt.Errorf("qcow2: %w", err)
	}
	now := t.state()
	record := t.appendDelta(t.appendState(nil, now), t.marked, now)
	t.marked = now
	return record, nil
}

// Replay brings the target to the state of the last record, and the object to
// the length it had then. A header that a Finish has written since is wiped out
// first. Kind Conflict: the records are not of a target with these options, or
// damaged; the target is as new then, and the object is not touched.
func (t *Target) Replay(records [][]byte) error {
	t.reset()
	for _, r := range records {
		if err := t.apply(r); err != nil {
			t.reset()
			return err
		}
	}
	t.marked = t.state()
	if err := t.writeFirst(nil); err != nil {
		return err
	}
	if err := t.obj.Sync(); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	if err := t.obj.Truncate(t.space.out.pos()); err != nil {
		return fmt.Errorf("qcow2: %w", err)
	}
	return nil
}

func (t *Target) appendState(p []byte, now mark) []byte {
	p = append(p, recordVersion, byte(t.kind))
	for _, v := range [...]int64{t.size, now.pos, now.end, now.table, now.block} {
		p = binary.AppendUvarint(p, uint64(v))
	}
	return p
}

// appendDelta adds what the tables have gained between two states.
func (t *Target) appendDelta(p []byte, was, now mark) []byte {
	s := &t.space
	for i := max(was.table, 0); i < now.table; i++ {
		p = binary.AppendUvarint(p, binary.BigEndian.Uint64(s.tables[i*entrySize:])&entryOffset)
	}
	for i := was.block; i < now.block; i++ {
		p = binary.AppendUvarint(p, binary.BigEndian.Uint64(s.refTab[i*entrySize:]))
	}
	p = appendEntries(p, t.l2, freshEntries(was, now))
	return appendRefs(p, s.refs, freshRefs(was, now))
}

// freshEntries tells which entries of the current L2 table are new.
func freshEntries(was, now mark) (r indexes) {
	if was.table == now.table {
		r.from = ceilDiv(was.end, clusterSize) - now.table*(tableSpan/clusterSize)
	}
	r.to = ceilDiv(now.end, clusterSize) - now.table*(tableSpan/clusterSize)
	return r
}

// freshRefs tells which counts of the current refcount block are new: those
// from the cluster on in which the file ended.
func freshRefs(was, now mark) (r indexes) {
	if was.block == now.block {
		r.from = was.pos/clusterSize - now.block*blockRefs
	}
	r.to = ceilDiv(now.pos, clusterSize) - now.block*blockRefs
	return r
}

// apply takes over one record. It checks each value, as a record may be one of
// another target; what it leaves behind after an error is of no use.
func (t *Target) apply(record []byte) error {
	d := recordReader{p: record}
	if v, kind := d.byte(), d.byte(); v != recordVersion || kind != byte(t.kind) || d.value(maxSize) != t.size {
		return errRecord()
	}
	was, now := t.state(), mark{}
	file := maxFile(t.size)
	now.pos, now.end = d.between(was.pos, file), d.between(was.end, t.size)
	now.table = d.between(max(was.table, 0), ceilDiv(t.size, tableSpan)-1)
	now.block = d.between(was.block, file/blockSpan)
	if d.bad || !now.consistent() {
		return errRecord()
	}
	d.delta(t, was, now)
	if d.bad || len(d.p) > 0 {
		return errRecord()
	}
	t.space.out.base, t.space.out.n = now.pos, 0
	t.space.block, t.table, t.end = now.block, now.table, now.end
	return nil
}

// consistent tells whether the positions lie in the tables that are said to be
// in the making.
func (m mark) consistent() bool {
	return m.pos%markAlign == 0 && m.end > 0 &&
		m.table == (m.end-1)/tableSpan && m.block == (m.pos-1)/blockSpan
}

func errRecord() error {
	return fault.New(fault.Conflict, "HX-QCOW-006", "the checkpoint does not belong to this qcow2 image, or is damaged", "the disk is copied from the start")
}

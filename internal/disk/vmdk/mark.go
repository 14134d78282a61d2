package vmdk

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// mark is the state of a Target at its last Mark.
type mark struct {
	pos   int64  // length of the file
	index uint64 // tables below it are in the directory for good
}

// recordVersion is the first byte of a record of Mark.
const recordVersion = 1

// Mark makes the grains so far durable and returns a record of the difference
// to the Mark before: about 2 KiB, and 4 bytes for each table that was closed.
// The record holds the state of the file's SHA-256, so that Sum is right after
// a Replay without reading the file again.
func (t *Target) Mark() ([]byte, error) {
	if t.out.pos() == t.marked.pos {
		return nil, nil
	}
	if err := t.out.flush(); err != nil {
		return nil, err
	}
	if err := t.out.obj.Sync(); err != nil {
		return nil, fmt.Errorf("vmdk: %w", err)
	}
	state, err := t.out.state()
	if err != nil {
		return nil, err
	}
	rec := t.appendIdentity([]byte{recordVersion})
	for _, v := range [...]uint64{uint64(t.out.off), t.next, t.marked.index, t.index} {
		rec = binary.LittleEndian.AppendUint64(rec, v)
	}
	rec = appendTable(rec, t.directory[t.marked.index:t.index])
	rec = appendTable(rec, t.table[:])
	t.marked = mark{pos: t.out.off, index: t.index}
	return append(rec, state...), nil
}

// appendIdentity appends what must not change between the Marks of one file.
func (t *Target) appendIdentity(b []byte) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(t.size))
	return binary.LittleEndian.AppendUint32(b, t.cid)
}

// Replay brings a fresh Target over the same object to its last Mark and cuts
// the object off there; without records it empties the object. Kind Conflict: a
// record is damaged or belongs to another disk; start anew.
func (t *Target) Replay(records [][]byte) error {
	var state []byte
	for _, rec := range records {
		var ok bool
		if state, ok = t.replay(rec); !ok {
			return badRecord(nil)
		}
	}
	if len(records) > 0 {
		if err := t.out.restore(t.marked.pos, state); err != nil {
			return badRecord(err)
		}
	}
	return t.out.truncate()
}

func badRecord(err error) error {
	return &fault.Error{
		Kind: fault.Conflict, Code: codeRecord, Err: err,
		Msg: "the checkpoint of the VMDK is damaged or belongs to another disk", Fix: "the disk is copied from the start",
	}
}

// replay applies one record and returns the state of the hash in it.
func (t *Target) replay(rec []byte) (state []byte, ok bool) {
	want := t.appendIdentity([]byte{recordVersion})
	if len(rec) < len(want)+4*8 || string(rec[:len(want)]) != string(want) {
		return nil, false
	}
	rec = rec[len(want):]
	var v [4]uint64
	for i := range v {
		v[i] = binary.LittleEndian.Uint64(rec[8*i:])
	}
	rec = rec[8*len(v):]
	pos, next, from, to := v[0], v[1], v[2], v[3]
	if pos > (math.MaxUint32+1)*sectorSize+chunkSize || int64(pos) < t.marked.pos ||
		from != t.marked.index || to < from || to >= uint64(len(t.directory)) || next > (to+1)*tableEntries ||
		uint64(len(rec)) < 4*(to-from)+tableBytes {
		return nil, false
	}
	decodeTable(t.directory[from:to], rec)
	decodeTable(t.table[:], rec[4*(to-from):])
	t.index, t.next, t.marked = to, next, mark{pos: int64(pos), index: to}
	return rec[4*(to-from)+tableBytes:], true
}

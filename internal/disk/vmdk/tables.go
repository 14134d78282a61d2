package vmdk

import (
	"cmp"
	"hash/maphash"
	"slices"
)

// tables proves that the grain tables of a stream list exactly the grains that
// were in it, whichever came first. It keeps 16 bytes per table instead of the
// table: a keyed hash of the places where grains were seen, and one of what the
// file states.
type tables struct {
	seed    maphash.Seed
	current [tableEntries]uint32 // places of the grains of the table index
	index   uint64
	open    bool        // current has at least one grain
	seen    []tableHash // at: index of the table; ascending; without empty ones
	stated  []tableHash // at: sector of the table; ascending
	zeroOne bool        // an entry of 1 means zeros, as 0 does
	grains  int64       // how many were seen
	listed  int64       // how many the tables list
}

type tableHash struct {
	at   uint64
	hash uint64
}

func newTables(h header) *tables {
	return &tables{seed: maphash.MakeSeed(), zeroOne: h.flags&flagZeroGrain != 0}
}

// grain notes that the grain with this number was seen at a sector. Numbers
// must ascend.
func (t *tables) grain(number uint64, sector uint32) {
	if index := number / tableEntries; index != t.index {
		t.closeTable()
		t.index = index
	}
	t.open = true
	t.grains++
	t.current[number%tableEntries] = sector
}

func (t *tables) closeTable() {
	if t.open {
		t.seen = append(t.seen, tableHash{t.index, t.hash(&t.current)})
	}
	t.open = false
	clear(t.current[:])
}

// state notes the content of a table that the file has at a sector. Sectors
// must ascend.
func (t *tables) state(sector uint64, p []byte) {
	var entries [tableEntries]uint32
	decodeTable(entries[:], p)
	for i, e := range entries {
		if e == 1 && t.zeroOne {
			entries[i] = 0
		} else if e != 0 {
			t.listed++
		}
	}
	t.stated = append(t.stated, tableHash{sector, t.hash(&entries)})
}

func (t *tables) hash(entries *[tableEntries]uint32) uint64 {
	return maphash.Comparable(t.seed, *entries)
}

// missing is how many grains the tables list beyond those that were seen.
func (t *tables) missing() int64 { return max(0, t.listed-t.grains) }

// verify compares with the grain directory, after the last grain.
func (t *tables) verify(directory []uint32) error {
	t.closeTable()
	empty := t.hash(new([tableEntries]uint32))
	seen := t.seen
	for i, sector := range directory {
		want := empty
		if len(seen) > 0 && seen[0].at == uint64(i) {
			want, seen = seen[0].hash, seen[1:]
		} else if sector == 0 {
			continue
		}
		at, ok := slices.BinarySearchFunc(t.stated, uint64(sector), func(h tableHash, s uint64) int { return cmp.Compare(h.at, s) })
		switch {
		case !ok:
			return corrupt("the directory has no grain table for bytes %d and up, but the file has grains or an entry there", int64(i)*tableSpan)
		case t.stated[at].hash != want:
			return corrupt("the grain table for bytes %d and up does not list the grains that the file has", int64(i)*tableSpan)
		}
	}
	return nil // every seen index is below len(directory): lba < capacity
}

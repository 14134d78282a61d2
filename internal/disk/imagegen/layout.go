package imagegen

import (
	"math"
	"slices"
)

// kind is what a stretch of the disk holds.
type kind uint8

const (
	hole       kind = iota
	compressed      // archives, media, encrypted files: random to any codec
	executable
	source
	prose
	logs
	small // files of less than 4 KiB, one in each block
	metadata
	kinds
)

// shares is how the content that is not a hole divides up, per mille; longest is
// the longest stretch of each kind in grains.
var (
	shares  = [kinds]int64{compressed: 300, executable: 350, source: 110, prose: 70, logs: 60, small: 60, metadata: 50}
	longest = [kinds]int64{hole: 1024, compressed: 256, executable: 128, source: 16, prose: 16, logs: 64, small: 64, metadata: 8}
)

// holes is how much of a disk is holes, per mille.
const holes = 600

// run is a stretch of one kind; it ends where the next one begins.
type run struct {
	first int64 // grain
	kind  kind
}

// layOut divides n grains into runs. Lengths are spread evenly on a logarithmic
// scale: mostly small files, mostly long holes by volume. What comes next is the
// kind that is furthest behind its share, so the mix is right at every size.
func layOut(seed uint64, n int64) []run {
	d := newDice(seed, math.MaxUint64)
	var runs []run
	var have [kinds]int64
	for at := int64(0); at < n; {
		// No run is so long that it decides the mix of a small disk.
		k, limit := hole, n/16
		if at == 0 || runs[len(runs)-1].kind == hole || have[hole]*1000 >= at*holes {
			k, limit = scarcest(&have), n/64
		}
		length := min(d.logUniform(min(longest[k], max(limit, 1))), n-at)
		runs = append(runs, run{first: at, kind: k})
		have[k] += length
		at += length
	}
	return runs
}

// scarcest returns the kind of content that is furthest behind its share.
func scarcest(have *[kinds]int64) kind {
	best := metadata // a disk begins with it
	for k := compressed; k < kinds; k++ {
		if have[k]*shares[best] < have[best]*shares[k] {
			best = k
		}
	}
	return best
}

// kindOf returns what grain i is.
func (m *Image) kindOf(i int64) kind {
	at, found := slices.BinarySearchFunc(m.runs, i, func(r run, i int64) int {
		return int(min(max(r.first-i, -1), 1))
	})
	if !found {
		at--
	}
	return m.runs[at].kind
}

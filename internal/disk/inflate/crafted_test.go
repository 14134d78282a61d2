package inflate

import (
	"bytes"
	"compress/flate"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// bitWriter writes a deflate stream by hand, to reach what no encoder emits.
type bitWriter struct {
	out  []byte
	nbit int
}

// put appends the low n bits of v, lowest first.
func (w *bitWriter) put(v uint, n int) {
	for i := range n {
		if w.nbit%8 == 0 {
			w.out = append(w.out, 0)
		}
		w.out[w.nbit/8] |= byte(v>>i&1) << (w.nbit % 8)
		w.nbit++
	}
}

// codeWord appends the canonical code word of sym in the code with these
// lengths (RFC 1951 §3.2.2), highest bit first.
func (w *bitWriter) codeWord(lengths []uint8, sym int) {
	word := uint(0)
	for l := uint8(1); l <= lengths[sym]; l++ {
		word <<= 1
		for s, sl := range lengths {
			if sl == l && (l < lengths[sym] || s < sym) {
				word++
			}
		}
	}
	for i := int(lengths[sym]) - 1; i >= 0; i-- {
		w.put(word>>i&1, 1)
	}
}

// flatPre is a complete code for code lengths that needs no thought: 13 words
// of four bits and six of five.
var flatPre = []uint8{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5}

// header begins a final dynamic block whose lengths are given one by one.
func (w *bitWriter) header(lit, dist []uint8) {
	w.put(1, 1)
	w.put(2, 2)
	w.put(uint(len(lit)-257), 5)
	w.put(uint(len(dist)-1), 5)
	w.preHeader()
	for _, l := range slices.Concat(lit, dist) {
		w.codeWord(flatPre, int(l))
	}
}

// randomCode returns the lengths of a complete code of n words out of size
// symbols: leaves of a random tree are split until there are enough.
func randomCode(r *rand.Rand, n, size int) []uint8 {
	leaves := []uint8{0}
	for len(leaves) < n {
		i := r.IntN(len(leaves))
		if r.IntN(3) > 0 {
			i = len(leaves) - 1 // grow deep: 15 bits must come up
		}
		if leaves[i] == maxBits {
			continue
		}
		leaves[i]++
		leaves = append(leaves, leaves[i])
	}
	lengths := make([]uint8, size)
	copy(lengths, leaves)
	r.Shuffle(size, func(i, j int) { lengths[i], lengths[j] = lengths[j], lengths[i] })
	return lengths
}

// verdict is what compress/flate makes of a stream: the oracle.
func verdict(stream []byte, room int) (content []byte, consumed int, ok bool) {
	in := bytes.NewReader(stream)
	content, err := io.ReadAll(io.LimitReader(flate.NewReader(in), int64(room)+1))
	return content, len(stream) - in.Len(), err == nil && len(content) <= room
}

// agree fails the test unless Deflate and compress/flate agree on a stream.
func agree(t *testing.T, stream []byte, room int) (accepted bool) {
	t.Helper()
	want, wantConsumed, ok := verdict(stream, room)
	dst := make([]byte, room)
	n, consumed, err := Deflate(dst, stream)
	if (err == nil) != ok {
		t.Fatalf("verdict %v, compress/flate accepts: %v\n%x", err, ok, stream)
	}
	if ok && (consumed != wantConsumed || !bytes.Equal(dst[:n], want)) {
		t.Fatalf("%d bytes from %d, compress/flate has %d from %d\n%x", n, consumed, len(want), wantConsumed, stream)
	}
	return ok
}

// TestRandomCodes decodes random symbols in random complete codes: subtables of
// every shape, all lengths and distances with all extra bits.
func TestRandomCodes(t *testing.T) {
	r := rng(3)
	accepted := 0
	for range 400 {
		lit := randomCode(r, 2+r.IntN(285), 286)
		if lit[endOfBlock] == 0 {
			i := slices.IndexFunc(lit, func(l uint8) bool { return l != 0 })
			lit[endOfBlock], lit[i] = lit[i], 0
		}
		dist := randomCode(r, 2+r.IntN(29), 30)
		var w bitWriter
		w.header(lit, dist)
		for range r.IntN(600) {
			w.randomSymbol(r, lit, dist)
		}
		w.codeWord(lit, endOfBlock)
		stream := slices.Concat(w.out, randomBytes(r, r.IntN(40)))
		if agree(t, stream, 600*258) {
			accepted++
		}
	}
	if accepted < 20 {
		t.Errorf("only %d of the streams were valid: the test has lost its teeth", accepted)
	}
}

// randomSymbol appends a literal or a match. Distances are whatever they are,
// so a stream may become invalid early: then both decoders must say so.
func (w *bitWriter) randomSymbol(r *rand.Rand, lit, dist []uint8) {
	sym := r.IntN(len(lit))
	if lit[sym] == 0 || sym == endOfBlock {
		return
	}
	if sym < endOfBlock {
		w.codeWord(lit, sym)
		return
	}
	near := r.IntN(len(dist))
	if r.IntN(8) > 0 {
		near = r.IntN(6)
	}
	if dist[near] == 0 {
		return
	}
	w.codeWord(lit, sym)
	w.put(uint(r.Uint32()), int(litAlphabet[sym]&63))
	w.codeWord(dist, near)
	w.put(uint(r.Uint32()), int(distAlphabet[near]&63))
}

// TestCrafted holds streams that sit on one rule each.
func TestCrafted(t *testing.T) {
	lit := make([]uint8, 286) // "a", end of block, length 3, length 258
	lit['a'], lit[256], lit[257], lit[285] = 2, 2, 2, 2
	two := []uint8{1, 1}
	with := func(base []uint8, sym int, length uint8) []uint8 {
		base = slices.Clone(base)
		base[sym] = length
		return base
	}
	tests := map[string]struct {
		write func(w *bitWriter)
		ok    bool
	}{
		"literals": {func(w *bitWriter) {
			w.header(lit, two)
			w.codeWord(lit, 'a')
			w.codeWord(lit, 256)
		}, true},
		"distance before the start": {func(w *bitWriter) {
			w.header(lit, two)
			w.codeWord(lit, 'a')
			w.codeWord(lit, 257)
			w.codeWord(two, 1)
			w.codeWord(lit, 256)
		}, false},
		"run of one byte": {func(w *bitWriter) {
			w.header(lit, two)
			w.codeWord(lit, 'a')
			w.codeWord(lit, 285)
			w.codeWord(two, 0)
			w.codeWord(lit, 256)
		}, true},
		"over-subscribed":      {func(w *bitWriter) { w.header(with(lit, 'b', 2), two) }, false},
		"incomplete":           {func(w *bitWriter) { w.header(with(lit, 'a', 3), two) }, false},
		"incomplete distances": {func(w *bitWriter) { w.header(lit, []uint8{2, 2, 2}) }, false},
		"no end of block": {func(w *bitWriter) {
			w.header(with(with(lit, 256, 0), 'b', 2), two)
			w.codeWord(lit, 'a')
		}, false},
		"one distance of one bit": {func(w *bitWriter) {
			w.header(lit, []uint8{1})
			w.codeWord(lit, 'a')
			w.codeWord(lit, 257)
			w.put(0, 1)
			w.codeWord(lit, 256)
		}, true},
		"the missing word of one bit": {func(w *bitWriter) {
			w.header(lit, []uint8{1})
			w.codeWord(lit, 'a')
			w.codeWord(lit, 257)
			w.put(1, 1)
			w.codeWord(lit, 256)
		}, false},
		"one distance of two bits": {func(w *bitWriter) { w.header(lit, []uint8{2}) }, false},
		"no distances, none used": {func(w *bitWriter) {
			w.header(lit, []uint8{0})
			w.codeWord(lit, 'a')
			w.codeWord(lit, 256)
		}, true},
		"no distances, one used": {func(w *bitWriter) {
			w.header(lit, []uint8{0})
			w.codeWord(lit, 'a')
			w.codeWord(lit, 257)
			w.put(0, 16)
		}, false},
		"only an end of block": {func(w *bitWriter) {
			only := make([]uint8, 257)
			only[256] = 1
			w.header(only, []uint8{0})
			w.put(0, 1)
		}, true},
		"287 literal symbols":  {func(w *bitWriter) { w.header(append(slices.Clone(lit), 0), two) }, false},
		"31 distances":         {func(w *bitWriter) { w.header(lit, append([]uint8{1, 1}, make([]uint8, 29)...)) }, false},
		"reserved block type":  {func(w *bitWriter) { w.put(7, 3) }, false},
		"fixed: end":           {func(w *bitWriter) { w.put(3, 3); w.put(0, 7) }, true},
		"fixed: symbol 286":    {func(w *bitWriter) { w.put(3, 3); w.put(0b01100011, 8); w.put(0, 20) }, false},
		"fixed: distance 30":   {func(w *bitWriter) { w.put(3, 3); w.put(0x0c, 8); w.put(0x40, 7); w.put(0x0f, 5); w.put(0, 30) }, false},
		"stored: wrong length": {func(w *bitWriter) { w.put(1, 8); w.put(3, 16); w.put(0xfffd, 16); w.put(0, 24) }, false},
		"stored: empty":        {func(w *bitWriter) { w.put(1, 8); w.put(0, 16); w.put(0xffff, 16) }, true},
		"repeat of nothing":    {func(w *bitWriter) { w.put(5, 3); w.put(0, 10); w.preHeader(); w.codeWord(flatPre, 16); w.put(0, 2) }, false},
		"run past the end": {func(w *bitWriter) {
			w.put(5, 3)
			w.put(0, 10)
			w.preHeader()
			for range 2 {
				w.codeWord(flatPre, 18)
				w.put(127, 7)
			}
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for _, padding := range []int{0, 1, 100} {
				var w bitWriter
				tt.write(&w)
				if got := agree(t, append(w.out, make([]byte, padding)...), 1000); got != tt.ok {
					t.Errorf("with %d bytes behind it accepted: %v, want %v", padding, got, tt.ok)
				}
			}
		})
	}
}

// preHeader appends the code for code lengths.
func (w *bitWriter) preHeader() {
	w.put(preSyms-4, 4)
	for _, sym := range preOrder {
		w.put(uint(flatPre[sym]), 3)
	}
}

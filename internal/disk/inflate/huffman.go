package inflate

import "math/bits"

// Sizes of the tables. The first lookup takes litBits or distBits; longer code
// words go through a subtable behind it. The largest table that a complete code
// can need is 2342 and 402 entries (zlib's "enough" for 288 and 32 symbols); the
// arrays are the next power of two so that a masked index needs no check.
const (
	maxBits  = 15
	litBits  = 11
	litSize  = 1 << 12
	litMask  = 1<<litBits - 1
	distBits = 8
	distSize = 1 << 9
	distMask = 1<<distBits - 1
	preBits  = 7
	preSize  = 1 << preBits

	maxLitSyms  = 288
	maxDistSyms = 32
	preSyms     = 19
	endOfBlock  = 256
)

// Alphabets: for each symbol its entry without the length of its code word.
var (
	litAlphabet  = makeLitAlphabet()
	distAlphabet = makeDistAlphabet()
	preAlphabet  = makePreAlphabet()
)

// withLength completes a symbol by the length of its code word.
func withLength(symbol uint32, length int) uint32 {
	return symbol + uint32(length)<<codeShift + uint32(length)
}

// makeLitAlphabet follows the table of RFC 1951 §3.2.5.
func makeLitAlphabet() (t [maxLitSyms]uint32) {
	for sym := range uint32(endOfBlock) {
		t[sym] = flagLiteral | sym<<baseShift
	}
	t[endOfBlock] = flagSpecial | flagEnd
	base := uint32(3)
	for i := range uint32(28) { // 257 to 284
		extra := uint32(0)
		if i >= 8 {
			extra = i/4 - 1
		}
		t[257+i] = base<<baseShift | extra
		base += 1 << extra
	}
	t[285] = 258 << baseShift
	t[286], t[287] = invalid, invalid
	return t
}

func makeDistAlphabet() (t [maxDistSyms]uint32) {
	base := uint32(1)
	for i := range uint32(30) {
		extra := uint32(0)
		if i >= 4 {
			extra = i/2 - 1
		}
		t[i] = base<<baseShift | extra
		base += 1 << extra
	}
	t[30], t[31] = invalid, invalid
	return t
}

func makePreAlphabet() (t [preSyms]uint32) {
	for sym := range uint32(preSyms) {
		t[sym] = sym << baseShift
	}
	return t
}

// code is what build needs to know of one canonical Huffman code.
type code struct {
	count   [maxBits + 1]int   // code words of each length
	sorted  [maxLitSyms]uint16 // the symbols in the order of their code words
	longest int
}

// sort orders the symbols by (length, symbol) as RFC 1951 §3.2.2 does.
func (c *code) sort(lengths []uint8) (used int) {
	c.count = [maxBits + 1]int{}
	for _, l := range lengths {
		c.count[l&maxBits]++
	}
	c.longest = 0
	var next [maxBits + 1]int
	for l := 1; l <= maxBits; l++ {
		next[l] = used
		used += c.count[l]
		if c.count[l] != 0 {
			c.longest = l
		}
	}
	for sym, l := range lengths {
		if l != 0 {
			c.sorted[next[l&maxBits]] = uint16(sym)
			next[l&maxBits]++
		}
	}
	return used
}

// space returns how much of the code space 1<<longest the code words fill.
func (c *code) space() (used int) {
	for l := 1; l <= c.longest; l++ {
		used = used<<1 + c.count[l]
	}
	return used
}

// build fills table, whose first lookup takes tableBits, for the code with these
// lengths. It refuses a code that is over-subscribed or incomplete; like
// compress/flate it takes a code of no word at all or of one single bit, whose
// other words are invalid when they turn up.
func (c *code) build(table []uint32, tableBits int, lengths []uint8, alphabet []uint32) bool {
	used := c.sort(lengths)
	space := c.space()
	switch {
	case used == 0 || (space == 1 && c.longest == 1):
		c.buildTiny(table[:1<<tableBits], used, alphabet)
		return true
	case space != 1<<c.longest:
		return false
	}
	c.buildFull(table, tableBits, alphabet)
	return true
}

// buildTiny makes the table of a code with no word, or with the word 0 only.
func (c *code) buildTiny(table []uint32, used int, alphabet []uint32) {
	for i := range table {
		table[i] = invalid
		if used == 1 && i&1 == 0 {
			table[i] = withLength(alphabet[c.sorted[0]], 1)
		}
	}
}

// buildFull makes the table of a complete code. Words are visited in order, as
// they appear in the input: bit-reversed. A word of length n is stored once in
// a table of 1<<n entries, and the table is doubled to go from n to n+1.
func (c *code) buildFull(table []uint32, tableBits int, alphabet []uint32) {
	word, length, size, next := 0, 0, 1, 0
	for length < tableBits && length < c.longest {
		length++
		copy(table[size:2*size], table[:size])
		size *= 2
		for range c.count[length] {
			table[word] = withLength(alphabet[c.sorted[next]], length)
			next++
			word = following(word, size-1)
		}
	}
	for ; size < 1<<tableBits; size *= 2 {
		copy(table[size:2*size], table[:size])
	}
	if c.longest > tableBits {
		c.buildSub(table, tableBits, alphabet, word, next)
	}
}

// following returns the code word after word, both bit-reversed; ones is the
// last word of the same length, which is followed by 0.
func following(word, ones int) int {
	if word == ones {
		return 0
	}
	bit := 1 << (bits.Len(uint(word^ones)) - 1)
	return word&(bit-1) | bit
}

// buildSub makes the subtables of the words longer than tableBits: word is the
// first of them and next its place in sorted.
func (c *code) buildSub(table []uint32, tableBits int, alphabet []uint32, word, next int) {
	mask := 1<<tableBits - 1
	prefix, start, end := -1, 0, 1<<tableBits
	for length := tableBits + 1; length <= c.longest; length++ {
		for left := c.count[length]; left > 0; left-- {
			if word&mask != prefix {
				prefix, start = word&mask, end
				n := c.subBits(length, left, tableBits)
				end = start + 1<<n
				table[prefix] = flagSpecial | flagPointer | uint32(start)<<baseShift | uint32(n)<<codeShift | uint32(tableBits)
			}
			e := withLength(alphabet[c.sorted[next]], length-tableBits)
			for i := start + word>>tableBits; i < end; i += 1 << (length - tableBits) {
				table[i] = e
			}
			next++
			word = following(word, 1<<length-1)
		}
	}
}

// subBits returns the size of a subtable that begins with a word of this length,
// of which left are still to be placed: just enough for all words that share
// its prefix.
func (c *code) subBits(length, left, tableBits int) int {
	n := length - tableBits
	for filled := left; filled < 1<<n; n++ {
		filled = filled<<1 + c.count[tableBits+n+1]
	}
	return n
}

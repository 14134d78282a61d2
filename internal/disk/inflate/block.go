package inflate

import (
	"encoding/binary"
	"sync"
)

// decoder is the state of one call and the tables that outlive it.
//
// bits holds the next nbits bits of input, lowest first; the input before ip is
// in it or used up. Past the end of src zero bytes are taken instead and counted
// in pad: they are harmless as long as nothing uses them.
type decoder struct {
	src, dst []byte
	ip, op   int
	bits     uint64
	nbits    uint
	pad      uint

	tables tables
	pre    [preSize]uint32
	code   code
	// lengths is one longer run than any header may give; see codeLengths.
	lengths [maxLitSyms + maxDistSyms + 138]uint8
}

// stream decodes blocks until the final one (RFC 1951 §3.2.3).
func (d *decoder) stream() error {
	for final := false; !final; {
		d.refill()
		final = d.take(1) != 0
		var err error
		switch d.take(2) {
		case 0:
			err = d.stored()
		case 1:
			err = d.block(fixed())
		case 2:
			if err = d.dynamic(); err == nil {
				err = d.block(&d.tables)
			}
		default:
			err = ErrCorrupt
		}
		if d.overrun() {
			return ErrTruncated
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// refill fills bits to at least 56.
func (d *decoder) refill() {
	if d.ip <= len(d.src)-8 {
		d.bits |= binary.LittleEndian.Uint64(d.src[d.ip:]) << (d.nbits & 63)
		d.ip += int((63 - d.nbits) >> 3)
		d.nbits |= 56
		return
	}
	for d.nbits < 56 {
		if d.ip < len(d.src) {
			d.bits |= uint64(d.src[d.ip]) << (d.nbits & 63)
			d.ip++
		} else {
			d.pad++
		}
		d.nbits += 8
	}
}

// take removes n bits; the caller has refilled.
func (d *decoder) take(n uint) uint {
	v := uint(d.bits) & (1<<n - 1)
	d.drop(n)
	return v
}

func (d *decoder) drop(n uint) {
	d.bits >>= n & 63
	d.nbits -= n
}

// overrun tells whether bits past the end of src were used.
func (d *decoder) overrun() bool { return d.nbits < 8*d.pad }

// position returns how many bytes of src were used, a begun byte included. It
// holds only without an overrun.
func (d *decoder) position() int { return d.ip - int(d.nbits>>3-d.pad) }

// stored copies a block without compression (RFC 1951 §3.2.4).
func (d *decoder) stored() error {
	if d.overrun() {
		return ErrTruncated
	}
	in := d.src[d.position():]
	if len(in) < 4 {
		return ErrTruncated
	}
	n := int(binary.LittleEndian.Uint16(in))
	if n^0xffff != int(binary.LittleEndian.Uint16(in[2:])) {
		return ErrCorrupt
	}
	in = in[4:]
	if len(in) < n {
		return ErrTruncated
	}
	if len(d.dst)-d.op < n {
		return ErrTooLong
	}
	d.op += copy(d.dst[d.op:], in[:n])
	d.ip, d.bits, d.nbits, d.pad = len(d.src)-len(in)+n, 0, 0, 0
	return nil
}

// tables are those of the fixed code.
type tables struct {
	lit  [litSize]uint32
	dist [distSize]uint32
}

// fixed returns the tables of RFC 1951 §3.2.6.
var fixed = sync.OnceValue(func() *tables {
	var lengths [maxLitSyms + maxDistSyms]uint8
	for sym := range lengths {
		switch {
		case sym < 144:
			lengths[sym] = 8
		case sym < 256:
			lengths[sym] = 9
		case sym < 280:
			lengths[sym] = 7
		case sym < maxLitSyms:
			lengths[sym] = 8
		default:
			lengths[sym] = 5
		}
	}
	t, c := new(tables), new(code)
	c.build(t.lit[:], litBits, lengths[:maxLitSyms], litAlphabet[:])
	c.build(t.dist[:], distBits, lengths[maxLitSyms:], distAlphabet[:])
	return t
})

// preOrder is the order in which a header gives the lengths of the code for
// code lengths.
var preOrder = [preSyms]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// dynamic reads the header of a dynamic block (RFC 1951 §3.2.7) and makes its
// tables.
func (d *decoder) dynamic() error {
	d.refill()
	nlit := int(d.take(5)) + 257
	ndist := int(d.take(5)) + 1
	npre := int(d.take(4)) + 4
	if nlit > 286 || ndist > 30 {
		return ErrCorrupt
	}
	var pre [preSyms]uint8
	for i := range npre {
		if i&7 == 0 {
			d.refill()
		}
		pre[preOrder[i]] = uint8(d.take(3))
	}
	if !d.code.build(d.pre[:], preBits, pre[:], preAlphabet[:]) {
		return ErrCorrupt
	}
	if err := d.codeLengths(nlit + ndist); err != nil {
		return err
	}
	if !d.code.build(d.tables.lit[:], litBits, d.lengths[:nlit], litAlphabet[:]) ||
		!d.code.build(d.tables.dist[:], distBits, d.lengths[nlit:nlit+ndist], distAlphabet[:]) {
		return ErrCorrupt
	}
	return nil
}

// codeLengths reads n run-length coded code lengths. A run is stored before it
// is known to end in time, which is why lengths has room for one more.
func (d *decoder) codeLengths(n int) error {
	for i := 0; i < n; {
		d.refill()
		e := d.pre[d.bits&(preSize-1)]
		if e&flagSpecial != 0 {
			return ErrCorrupt
		}
		d.drop(uint(e & 63))
		sym := e >> baseShift
		if sym < 16 {
			d.lengths[i] = uint8(sym)
			i++
			continue
		}
		var value uint8
		var run int
		switch sym {
		case 16:
			if i == 0 {
				return ErrCorrupt
			}
			value, run = d.lengths[i-1], 3+int(d.take(2))
		case 17:
			run = 3 + int(d.take(3))
		default:
			run = 11 + int(d.take(7))
		}
		for j := range run {
			d.lengths[i+j] = value
		}
		i += run
		if i > n || d.overrun() {
			return ErrCorrupt
		}
	}
	return nil
}

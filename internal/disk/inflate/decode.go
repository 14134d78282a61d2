package inflate

// block decodes the symbols of one block.
func (d *decoder) block(t *tables) error {
	end, err := d.fast(t)
	for !end && err == nil {
		end, err = d.symbol(t)
	}
	return err
}

// symbol decodes one entry of the literal/length table with every check. It
// carries the stream where fast has no margin left: the last bytes of the input
// and of the output.
func (d *decoder) symbol(t *tables) (end bool, err error) {
	d.refill()
	e := t.lit[d.bits&litMask]
	if e&flagPointer != 0 {
		d.drop(litBits)
		e = t.lit[subIndex(e, d.bits)%litSize]
	}
	before := d.bits
	d.drop(uint(e & 63))
	switch {
	case d.overrun():
		return false, ErrTruncated
	case isLiteral(e):
		return false, d.literal(e)
	case e&flagSpecial != 0:
		return endOrError(e)
	}
	length := valueOf(e, before)

	e = t.dist[d.bits&distMask]
	if e&flagPointer != 0 {
		d.drop(distBits)
		e = t.dist[subIndex(e, d.bits)%distSize]
	}
	if e&flagSpecial != 0 {
		return false, ErrCorrupt
	}
	before = d.bits
	d.drop(uint(e & 63))
	if d.overrun() {
		return false, ErrTruncated
	}
	return false, d.match(valueOf(e, before), length)
}

// literal stores the byte of an entry.
func (d *decoder) literal(e uint32) error {
	if d.op == len(d.dst) {
		return ErrTooLong
	}
	d.dst[d.op] = byte(e >> baseShift)
	d.op++
	return nil
}

// match repeats length bytes from dist bytes back.
func (d *decoder) match(dist, length int) error {
	if dist > d.op {
		return ErrCorrupt
	}
	if length > len(d.dst)-d.op {
		return ErrTooLong
	}
	for i := d.op; i < d.op+length; i++ {
		d.dst[i] = d.dst[i-dist]
	}
	d.op += length
	return nil
}

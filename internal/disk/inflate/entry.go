package inflate

// A table entry is 32 bits. The low six always tell how many bits of input the
// entry takes, extra bits included, so that a shift needs no mask.
//
//	literal    bit 31; bits 16-23: the byte
//	match      bits 16-30: base of the length or distance; bits 8-11: length of
//	           the code word, what the entry takes beyond it is extra bits
//	pointer    flagSpecial|flagPointer; bits 16-29: start of the subtable;
//	           bits 8-11: how many bits index it
//	end        flagSpecial|flagEnd
//	invalid    flagSpecial: no code word looks like this
const (
	codeShift = 8
	baseShift = 16

	flagLiteral = 1 << 31
	flagSpecial = 1 << 15
	flagPointer = 1 << 14
	flagEnd     = 1 << 13
	invalid     = flagSpecial
)

// isLiteral tests flagLiteral.
func isLiteral(e uint32) bool { return int32(e) < 0 }

// endOrError tells what a special entry that is no pointer means.
func endOrError(e uint32) (end bool, err error) {
	if e&flagEnd == 0 {
		return false, ErrCorrupt
	}
	return true, nil
}

// subIndex returns where a pointer leads; in is the input behind the pointer.
func subIndex(e uint32, in uint64) uint32 {
	return e>>baseShift + uint32(in)&(1<<(e>>codeShift&15)-1)
}

// valueOf returns base plus extra bits of a match entry; in is the input that
// begins with it.
func valueOf(e uint32, in uint64) int {
	return int(e>>baseShift) + int(in&(1<<(e&63)-1)>>(e>>codeShift&63))
}

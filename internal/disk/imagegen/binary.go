package imagegen

import "encoding/binary"

// instructions are the commonest shapes of x86-64 code by falling frequency. In
// them, codeReg stands for a ModRM byte, codeDisp for a small displacement,
// codeNear and codeFar for the distance of a jump or of a datum.
var instructions = [...][]int16{
	{0x48, 0x89, codeReg},
	{0x48, 0x8b, codeReg, codeDisp},
	{0xe8, codeFar},
	{0x48, 0x8d, codeReg, codeDisp},
	{0x8b, codeReg, codeDisp},
	{0x74, codeNear},
	{0x48, 0x8b, codeReg},
	{0x89, codeReg},
	{0x85, codeReg},
	{0x0f, 0x84, codeFar},
	{0x48, 0x8d, 0x35, codeFar},
	{0x75, codeNear},
	{0xeb, codeNear},
	{0x48, 0x85, codeReg},
	{0x48, 0x89, codeReg, 0x24, codeDisp},
	{0x31, codeReg},
	{0xe9, codeFar},
	{0x48, 0x83, codeReg, codeDisp},
	{0x4c, 0x89, codeReg},
	{0x0f, 0x85, codeFar},
	{0x48, 0x8b, 0x44, 0x24, codeDisp},
	{0x48, 0x8b, 0x05, codeFar},
	{0x83, codeReg, codeDisp},
	{0x0f, 0xb6, codeReg, codeDisp},
	{0x41, 0x89, codeReg},
	{0x5b, 0x5d, 0x41, 0x5c, 0xc3},
	{0xba, codeDisp, 0, 0, 0},
	{0x44, 0x89, codeReg},
	{0x48, 0x39, codeReg},
	{0x49, 0x8b, codeReg, codeDisp},
	{0xbe, codeDisp, 0, 0, 0},
	{0x48, 0x01, codeReg},
	{0xc7, 0x44, 0x24, codeDisp, codeDisp, 0, 0, 0},
	{0x4c, 0x8b, codeReg, codeDisp},
	{0x45, 0x31, codeReg},
	{0xf3, 0x0f, 0x1e, 0xfa, 0x55, 0x48, 0x89, 0xe5},
	{0x41, 0x57, 0x41, 0x56, 0x41, 0x55, 0x41, 0x54, 0x55, 0x53},
	{0x48, 0xc1, codeReg, codeDisp},
	{0x0f, 0x1f, 0x44, 0, 0},
	{0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
	{0x48, 0x63, codeReg},
	{0x0f, 0x95, codeReg},
	{0xf2, 0x0f, 0x10, codeReg, codeDisp},
	{0xff, 0x15, codeFar},
}

const (
	codeReg = -1 - iota
	codeDisp
	codeNear
	codeFar
)

var (
	instructionLaw = newZipf(len(instructions), 6)
	registerLaw    = newZipf(192, 4)
	dispLaw        = newZipf(120, 3)
)

// executable writes sections: mostly code, then tables, strings, padding.
func (p *page) executable() {
	for !p.full() {
		end := min(p.n+2048+p.dice.below(6<<10), len(p.out))
		switch p.dice.take(4) {
		case 0:
			p.strings(end)
		case 1, 2:
			p.relocations(end)
		case 3:
			p.pointers(end)
		case 4:
			p.put(1)
			p.align(1024)
		default:
			p.code(end)
		}
	}
}

func (p *page) code(end int) {
	for p.n < end {
		if p.dice.chance(18) {
			p.again(8 + p.dice.below(40))
			continue
		}
		for _, c := range instructions[instructionLaw.draw(&p.dice)] {
			p.operand(c)
		}
	}
}

func (p *page) operand(c int16) {
	switch c {
	case codeReg:
		p.put(byte(0xc0 + 37*registerLaw.draw(&p.dice)))
	case codeDisp:
		p.put(byte(8 * dispLaw.draw(&p.dice)))
	case codeNear:
		p.put(byte(p.dice.take(6) + 2))
	case codeFar: // some hundred KiB back or forth
		d := p.dice.take(18)
		if p.dice.chance(160) {
			d = -d
		}
		p.put(byte(d))
		p.put(byte(d >> 8))
		p.put(byte(d >> 16))
		p.put(byte(d >> 24))
	default:
		p.put(byte(c))
	}
}

// strings writes a string table.
func (p *page) strings(end int) {
	for at := p.dice.below(nameCount); p.n < end; at++ {
		p.text(p.words.names[at%nameCount])
		p.put(0)
	}
}

// relocations writes records of 24 bytes: where, what, how far.
func (p *page) relocations(end int) {
	at, addend := uint64(p.dice.take(20)), uint64(p.dice.take(22))
	for p.n < end {
		at += 8 + 8*uint64(p.dice.take(2))
		addend += 16 * uint64(p.dice.take(6))
		p.number64(at)
		p.number64(8)
		p.number64(addend)
	}
}

// pointers writes a table of addresses.
func (p *page) pointers(end int) {
	base := 0x7f00_0000_0000 + uint64(p.dice.take(20))<<12
	for p.n < end {
		p.number64(base + 16*uint64(p.dice.take(12)))
	}
}

func (p *page) number64(v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	p.bytes(b[:]...)
}

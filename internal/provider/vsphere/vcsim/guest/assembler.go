package guest

import (
	"encoding/binary"
	"fmt"
)

// assembler collects machine code with labels. A mistake in a program is found
// by link, which panics: programs are constants of this package.
type assembler struct {
	origin int
	code   []byte
	labels map[string]int
	fixups []fixup
}

// fixup is a place that needs the address of a label.
type fixup struct {
	at    int
	label string
	plus  int
	size  int  // bytes
	rel   bool // relative to the end of the field
}

func newAssembler(origin int) *assembler {
	return &assembler{origin: origin, labels: make(map[string]int)}
}

func (a *assembler) emit(b ...byte) *assembler {
	a.code = append(a.code, b...)
	return a
}

func (a *assembler) word(v uint16) *assembler {
	a.code = binary.LittleEndian.AppendUint16(a.code, v)
	return a
}

func (a *assembler) dword(v uint32) *assembler {
	a.code = binary.LittleEndian.AppendUint32(a.code, v)
	return a
}

// text emits a string and a zero.
func (a *assembler) text(s string) { a.code = append(append(a.code, s...), 0) }

// label names the address of what comes next.
func (a *assembler) label(name string) { a.labels[name] = len(a.code) }

// abs emits the 16-bit address of a label.
func (a *assembler) abs(label string) *assembler { return a.absPlus(label, 0) }

// absPlus emits the 16-bit address of what lies some bytes after a label.
func (a *assembler) absPlus(label string, plus int) *assembler {
	a.fixups = append(a.fixups, fixup{at: len(a.code), label: label, plus: plus, size: 2})
	return a.word(0)
}

// rel8 and rel16 emit the distance to a label.
func (a *assembler) rel8(label string) {
	a.fixups = append(a.fixups, fixup{at: len(a.code), label: label, size: 1, rel: true})
	a.emit(0)
}

func (a *assembler) rel16(label string) {
	a.fixups = append(a.fixups, fixup{at: len(a.code), label: label, size: 2, rel: true})
	a.word(0)
}

// link puts the addresses in and returns the program.
func (a *assembler) link() []byte {
	for _, f := range a.fixups {
		to, ok := a.labels[f.label]
		if !ok {
			panic(fmt.Sprintf("no label %q", f.label))
		}
		v := a.origin + to + f.plus
		if f.rel {
			v = to - (f.at + f.size)
		}
		if f.size == 1 {
			if v < -128 || v > 127 {
				panic(fmt.Sprintf("%q is too far for a short jump", f.label))
			}
			a.code[f.at] = byte(int8(v))
			continue
		}
		binary.LittleEndian.PutUint16(a.code[f.at:], uint16(int16(v)))
	}
	return a.code
}

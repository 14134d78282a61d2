package imagegen

import "strconv"

// page writes one grain from the front to the end.
type page struct {
	out   []byte
	n     int
	dice  dice
	words *vocabulary
}

// fill makes a page of the kind.
func (p *page) fill(k kind) {
	switch k {
	case compressed:
		p.random(len(p.out))
	case executable:
		p.executable()
	case source:
		p.source()
	case prose:
		p.prose()
	case logs:
		p.logs()
	case small:
		p.small()
	default:
		p.metadata()
	}
}

func (p *page) full() bool { return p.n >= len(p.out) }

func (p *page) text(s string) { p.n += copy(p.out[p.n:], s) }

func (p *page) bytes(b ...byte) { p.n += copy(p.out[p.n:], b) }

func (p *page) put(b byte) {
	if p.n < len(p.out) {
		p.out[p.n] = b
		p.n++
	}
}

// skip leaves n zero bytes.
func (p *page) skip(n int) { p.n = min(p.n+n, len(p.out)) }

// align leaves zero bytes up to a multiple of n.
func (p *page) align(n int) { p.skip(-p.n & (n - 1)) }

func (p *page) random(n int) {
	n = min(n, len(p.out)-p.n)
	_, _ = p.dice.source.Read(p.out[p.n : p.n+n]) // never fails
	p.n += n
}

// again repeats some bytes from earlier on this page: the phrase, the statement
// or the idiom that comes up once more.
func (p *page) again(length int) {
	if p.n < 2*length {
		return
	}
	from := p.n - length - p.dice.below(min(p.n-length, 1<<15))
	p.n += copy(p.out[p.n:], p.out[max(from, 0):][:length])
}

func (p *page) number(bits uint) {
	var buf [12]byte
	p.bytes(strconv.AppendUint(buf[:0], uint64(p.dice.take(bits)), 10)...)
}

// prose writes sentences in lines of some seventy characters.
func (p *page) prose() {
	line := p.n
	for first := true; !p.full(); {
		w := p.words.words[p.words.often.draw(&p.dice)]
		if first {
			p.put(w[0] - 'a' + 'A')
			w = w[1:]
		}
		p.text(w)
		switch first = false; p.dice.take(5) {
		case 0, 1:
			p.n--
			p.text(". ")
			first = true
		case 2, 3:
			p.n--
			p.text(", ")
		case 4:
			p.again(12 + p.dice.below(40))
		case 5:
			if p.dice.chance(64) {
				p.number(12)
				p.text(" ")
			}
		}
		if p.n-line > 70 {
			p.text("\n")
			line = p.n
		}
	}
}

// statements of source code; % stands for a name, # for a number.
var statements = []string{
	"%->% = %;\n", "if (%) {\n", "return %;\n", "%(%, %);\n", "}\n", "} else {\n", "% = %(%, #);\n", "for (% = 0; % < #; %++) {\n",
	"/* % % */\n", "struct % *%;\n", "static int %(struct % *%, int %)\n{\n", "#define % 0x#\n", "if (!%->%) return -#;\n", "%->% += %->%;\n",
	"\n", "#include <%/%.h>\n", "const char *% = \"% % %\";\n", "switch (%->%) {\n", "case %:\n", "break;\n", "assert(% == #);\n", "unsigned long %[#];\n",
}

var indents = []string{"\t", "\t\t", "", "\t\t\t", "    ", "\t\t\t\t"}

// source writes statements over the names that one file uses.
func (p *page) source() {
	base := p.dice.below(nameCount - localCount)
	for !p.full() {
		if p.dice.chance(20) {
			p.again(20 + p.dice.below(120))
			continue
		}
		p.text(indents[p.dice.below(len(indents))])
		p.statement(statements[p.dice.below(len(statements))], base)
	}
}

func (p *page) statement(s string, base int) {
	for i := 0; i < len(s) && !p.full(); i++ {
		switch s[i] {
		case '%':
			p.text(p.words.names[base+p.words.local.draw(&p.dice)])
		case '#':
			p.number(8)
		default:
			p.put(s[i])
		}
	}
}

// logs writes lines with a growing time, as a system log has them.
func (p *page) logs() {
	second := int(p.dice.take(16))
	for !p.full() {
		second += int(p.dice.take(2))
		p.text("2026-03-")
		p.twoDigits(1 + second/86400%28)
		p.text("T")
		p.twoDigits(second / 3600 % 24)
		p.text(":")
		p.twoDigits(second / 60 % 60)
		p.text(":")
		p.twoDigits(second % 60)
		p.text(".")
		p.number(19)
		p.text("Z node-")
		p.number(2)
		p.text(" ")
		p.text(p.words.names[p.words.local.draw(&p.dice)])
		p.text("[")
		p.number(11)
		p.text("]: level=info ")
		for range 3 + p.dice.below(6) {
			p.text(p.words.words[p.words.often.draw(&p.dice)])
		}
		p.text("id=")
		p.hex(4)
		p.text(" addr=10.0.")
		p.number(3)
		p.text(".")
		p.number(8)
		p.text("\n")
	}
}

func (p *page) twoDigits(n int) { p.bytes('0'+byte(n/10%10), '0'+byte(n%10)) }

// hex writes n random bytes as digits.
func (p *page) hex(n int) {
	const digits = "0123456789abcdef"
	for range 2 * n {
		p.put(digits[p.dice.take(4)])
	}
}

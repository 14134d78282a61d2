package ova

import (
	"bytes"
	"encoding/xml"
	"strings"
)

// xmlDoc writes an indented XML document by hand: encoding/xml cannot write the
// namespace prefixes that OVF readers look for. Names are constants of this
// package; every text and attribute value goes through xml.EscapeText, which
// also replaces what XML 1.0 cannot hold (control characters, lone surrogates,
// invalid UTF-8) by U+FFFD.
type xmlDoc struct {
	buf   bytes.Buffer
	stack []string
}

// open begins an element; attrs are names and values in turn.
func (d *xmlDoc) open(name string, attrs ...string) {
	d.tag(name, attrs)
	d.buf.WriteString(">\n")
	d.stack = append(d.stack, name)
}

// done ends the innermost open element.
func (d *xmlDoc) done() {
	last := len(d.stack) - 1
	name := d.stack[last]
	d.stack = d.stack[:last]
	d.indent()
	d.buf.WriteString("</" + name + ">\n")
}

// leaf writes an element that holds only text.
func (d *xmlDoc) leaf(name, text string, attrs ...string) {
	d.tag(name, attrs)
	d.buf.WriteByte('>')
	d.escape(text)
	d.buf.WriteString("</" + name + ">\n")
}

// empty writes an element without content.
func (d *xmlDoc) empty(name string, attrs ...string) {
	d.tag(name, attrs)
	d.buf.WriteString("/>\n")
}

func (d *xmlDoc) tag(name string, attrs []string) {
	d.indent()
	d.buf.WriteString("<" + name)
	for i := 0; i+1 < len(attrs); i += 2 {
		d.buf.WriteString(" " + attrs[i] + `="`)
		d.escape(attrs[i+1])
		d.buf.WriteByte('"')
	}
}

func (d *xmlDoc) indent() { d.buf.WriteString(strings.Repeat("  ", len(d.stack))) }

func (d *xmlDoc) escape(s string) {
	_ = xml.EscapeText(&d.buf, []byte(s)) // a bytes.Buffer does not fail
}

package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
)

// jsonParser reads one JSON text into nodes.
type jsonParser struct {
	body []byte
	dec  *json.Decoder
	seen int // bytes whose lines are counted
	line int
	bol  int // where the line begins
}

func parseJSON(body []byte) (*node, error) {
	p := &jsonParser{body: body, dec: json.NewDecoder(bytes.NewReader(body)), line: 1}
	p.dec.UseNumber()
	root, err := p.value(0)
	if err != nil {
		return nil, err
	}
	if _, err := p.dec.Token(); !errors.Is(err, io.EOF) {
		return nil, atLine(p.here(), "something follows the JSON text")
	}
	return root, nil
}

// here returns the line that the decoder is in.
func (p *jsonParser) here() int {
	return p.mark(int(p.dec.InputOffset())).line
}

// next returns the place where the next token begins.
func (p *jsonParser) next() pos {
	off := int(p.dec.InputOffset())
	rest := p.body[off:]
	return p.mark(off + len(rest) - len(bytes.TrimLeft(rest, " \t\r\n,:")))
}

// mark returns the place of an offset, or of the last one if that lies behind it.
func (p *jsonParser) mark(off int) pos {
	off = max(off, p.seen)
	passed := p.body[p.seen:off]
	p.line += bytes.Count(passed, []byte{'\n'})
	if i := bytes.LastIndexByte(passed, '\n'); i >= 0 {
		p.bol = p.seen + i + 1
	}
	p.seen = off
	return pos{p.line, off - p.bol + 1}
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if err == nil {
		return t, nil
	}
	line := p.next().line
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, atLine(line, "the JSON text ends too early")
	}
	return nil, atLine(line, "no JSON: "+err.Error())
}

func (p *jsonParser) value(depth int) (*node, error) {
	at := p.next()
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &node{pos: at}
	switch t := t.(type) {
	case nil:
		return n, nil
	case bool:
		n.kind, n.text = kindBool, strconv.FormatBool(t)
		return n, nil
	case json.Number:
		n.kind, n.text = kindNumber, t.String()
		return n, nil
	case string:
		n.kind, n.text = kindString, t
		return n, nil
	}
	if depth == maxDepth {
		return nil, atLine(n.line, "nested too deeply")
	}
	n.kind = kindMap
	if t == json.Delim('[') {
		n.kind = kindList
	}
	for p.dec.More() {
		if err := p.element(n, depth+1); err != nil {
			return nil, err
		}
	}
	_, err = p.token()
	return n, err
}

// element reads one item of a list or one pair of a map.
func (p *jsonParser) element(n *node, depth int) error {
	var key pair
	if n.kind == kindMap {
		key.pos = p.next()
		t, err := p.token()
		if err != nil {
			return err
		}
		key.key, _ = t.(string) // the decoder admits nothing else here
	}
	v, err := p.value(depth)
	if err != nil {
		return err
	}
	if n.kind == kindList {
		n.items = append(n.items, v)
		return nil
	}
	key.value = v
	return n.add(key)
}

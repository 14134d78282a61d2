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
	off := int(p.dec.InputOffset())
	p.line += bytes.Count(p.body[p.seen:off], []byte{'\n'})
	p.seen = off
	return p.line
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.dec.Token()
	if err == nil {
		return t, nil
	}
	rest := p.body[p.dec.InputOffset():]
	space := rest[:len(rest)-len(bytes.TrimLeft(rest, " \t\r\n"))]
	line := p.here() + bytes.Count(space, []byte{'\n'})
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, atLine(line, "the JSON text ends too early")
	}
	return nil, atLine(line, "no JSON: "+err.Error())
}

func (p *jsonParser) value(depth int) (*node, error) {
	t, err := p.token()
	if err != nil {
		return nil, err
	}
	n := &node{line: p.here()}
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
		t, err := p.token()
		if err != nil {
			return err
		}
		key.key, _ = t.(string) // the decoder admits nothing else here
		key.line = p.here()
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

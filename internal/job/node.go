package job

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// node is a value of a parsed document, JSON or YAML, with its line.
type node struct {
	kind  nodeKind
	line  int
	text  string // of a scalar
	pairs []pair // of a map, in order; keys are unique
	index map[string]*node
	items []*node
}

type pair struct {
	key   string
	line  int
	value *node
}

type nodeKind uint8

const (
	kindNull nodeKind = iota
	kindBool
	kindNumber
	kindString
	kindList
	kindMap
)

var nodeKindNames = [...]string{"nothing", "a truth value", "a number", "a text", "a list", "a mapping"}

// String names the kind for a message.
func (k nodeKind) String() string { return nodeKindNames[k] }

// get returns the value of a key, or nil.
func (n *node) get(key string) *node { return n.index[key] }

// add appends a pair. It refuses a key that is there.
func (n *node) add(p pair) error {
	if n.get(p.key) != nil {
		return atLine(p.line, fmt.Sprintf("the key %.100q is there twice", p.key))
	}
	if n.index == nil {
		n.index = make(map[string]*node)
	}
	n.index[p.key] = p.value
	n.pairs = append(n.pairs, p)
	return nil
}

func atLine(line int, what string) error {
	return malformed(fmt.Sprintf("line %d: %s", line, what))
}

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

func parseYAML(body []byte) (*node, error) {
	var doc yaml.Node
	err := yaml.Load(body, &doc, yaml.WithUniqueKeys(false), // checked here, with the line
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth), loaderlimits.AliasValue(0))))
	if err != nil {
		return nil, malformed("no YAML: " + err.Error())
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		return nil, malformed("the body holds no YAML document")
	}
	return fromYAML(doc.Content[0])
}

func fromYAML(y *yaml.Node) (*node, error) {
	switch {
	case y.Kind == yaml.AliasNode || y.Anchor != "":
		return nil, atLine(y.Line, "anchors and aliases are not allowed")
	case y.Style&yaml.TaggedStyle != 0:
		return nil, atLine(y.Line, "tags are not allowed")
	}
	n := &node{line: y.Line, text: y.Value}
	switch y.Kind {
	case yaml.SequenceNode:
		n.kind = kindList
		for _, c := range y.Content {
			item, err := fromYAML(c)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	case yaml.MappingNode:
		n.kind = kindMap
		return n, n.addYAML(y.Content)
	}
	switch y.ShortTag() {
	case "!!null":
		n.kind = kindNull
	case "!!bool":
		n.kind = kindBool
	case "!!int", "!!float":
		n.kind = kindNumber
	default:
		n.kind = kindString
	}
	return n, nil
}

// addYAML adds keys and values, which alternate in content.
func (n *node) addYAML(content []*yaml.Node) error {
	for i := 0; i+1 < len(content); i += 2 {
		key, err := fromYAML(content[i])
		if err != nil {
			return err
		}
		if key.kind != kindString || content[i].ShortTag() == "!!merge" {
			return atLine(key.line, "a key must be a plain text")
		}
		value, err := fromYAML(content[i+1])
		if err != nil {
			return err
		}
		if err := n.add(pair{key: key.text, line: key.line, value: value}); err != nil {
			return err
		}
	}
	return nil
}

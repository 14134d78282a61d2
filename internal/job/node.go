package job

import "fmt"

// pos is a place in a document, both counted from 1.
type pos struct{ line, col int }

// String says the place in a message; the zero place is nowhere.
func (p pos) String() string {
	if p.line == 0 {
		return ""
	}
	return fmt.Sprintf("line %d, column %d", p.line, p.col)
}

// node is a value of a parsed document, JSON or YAML, with its place.
type node struct {
	pos
	kind  nodeKind
	text  string // of a scalar
	pairs []pair // of a map, in order; keys are unique
	index map[string]*node
	items []*node
}

type pair struct {
	pos
	key   string
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

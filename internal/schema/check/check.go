// Package check holds files against JSON Schemas and says where they differ.
package check

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"go.yaml.in/yaml/v4"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// MaxDocument is the largest file in bytes that is looked at.
const MaxDocument = 1 << 20

// Problem is one difference.
type Problem struct {
	Line, Column int
	Path         string // of the key, with dots; empty: the file itself
	Message      string
}

// String is the problem in one line.
func (p Problem) String() string {
	where := fmt.Sprintf("line %d, column %d: ", p.Line, p.Column)
	if p.Path != "" {
		where += p.Path + ": "
	}
	return where + p.Message
}

// Document holds a YAML or JSON document against a schema. Kind Invalid: it is
// none; Internal: the schema is none.
func Document(schema, text []byte) ([]Problem, error) {
	compiled, err := compile(schema)
	if err != nil {
		return nil, fault.Wrap(err, fault.Internal, "HX-SCHEMA-001", "the schema cannot be used", "report this")
	}
	if len(text) > MaxDocument {
		return nil, fault.Newf(fault.Invalid, "HX-SCHEMA-002", "shorten it", "the file holds %d bytes; %d are allowed", len(text), MaxDocument)
	}
	var root yaml.Node
	if len(bytes.TrimSpace(text)) == 0 {
		return nil, nil // an empty file changes no default
	}
	if err := yaml.Load(text, &root); err != nil {
		return nil, fault.Wrap(err, fault.Invalid, "HX-SCHEMA-003", "the file is not one YAML document: "+reason(err), "correct it")
	}
	if len(root.Content) == 0 {
		return nil, nil
	}
	d := &document{root: root.Content[0]}
	value, err := d.value(d.root)
	if err != nil {
		return nil, err
	}
	var invalid *jsonschema.ValidationError
	if err := compiled.Validate(value); errors.As(err, &invalid) {
		d.gather(invalid)
	}
	slices.SortStableFunc(d.problems, func(a, b Problem) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	return d.problems, nil
}

func compile(schema []byte) (*jsonschema.Schema, error) {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	const name = "https://hypervisord.local/schema.json"
	if m, ok := value.(map[string]any); ok {
		m["$id"] = name
	}
	if err := c.AddResource(name, value); err != nil {
		return nil, err
	}
	return c.Compile(name)
}

// reason leaves out what the file holds: it may be a password.
func reason(err error) string {
	if one, ok := errors.AsType[*yaml.LoadError](err); ok {
		return fmt.Sprintf("line %d, column %d", one.Mark.Line, one.Mark.Column)
	}
	return "see its syntax"
}

// document is a file that is held against a schema.
type document struct {
	root     *yaml.Node
	problems []Problem
}

// value gives a node as the validator wants it. An alias is refused: it may stand
// for more than there is memory.
func (d *document) value(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			v, err := d.value(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			key := n.Content[i]
			if _, twice := m[key.Value]; twice {
				d.problems = append(d.problems, Problem{key.Line, key.Column, key.Value, "the key is there twice"})
			}
			m[key.Value] = v
		}
		return m, nil
	case yaml.SequenceNode:
		list := make([]any, len(n.Content))
		for i, item := range n.Content {
			v, err := d.value(item)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, nil
	case yaml.ScalarNode:
		if n.Tag == "!!str" || n.Tag == "!!timestamp" {
			return n.Value, nil
		}
		var v any
		if err := n.Load(&v); err != nil {
			return nil, fault.Newf(fault.Invalid, "HX-SCHEMA-004", "correct it", "line %d, column %d: the value cannot be read", n.Line, n.Column)
		}
		return v, nil
	default:
		return nil, fault.Newf(fault.Invalid, "HX-SCHEMA-005", "write the value out", "line %d, column %d: aliases are not allowed", n.Line, n.Column)
	}
}

// gather takes the innermost errors: those above only say that there are some.
func (d *document) gather(e *jsonschema.ValidationError) {
	if len(e.Causes) > 0 {
		for _, c := range e.Causes {
			d.gather(c)
		}
		return
	}
	if unknown, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
		for _, key := range unknown.Properties {
			d.add(append(slices.Clone(e.InstanceLocation), key), "unknown key")
		}
		return
	}
	if missing, ok := e.ErrorKind.(*kind.Required); ok {
		d.add(e.InstanceLocation, "misses "+strings.Join(missing.Missing, ", "))
		return
	}
	d.add(e.InstanceLocation, e.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
}

func (d *document) add(location []string, text string) {
	at := d.find(location)
	d.problems = append(d.problems, Problem{at.Line, at.Column, strings.Join(location, "."), text})
}

// find returns the key that a location ends with, or the item of a list.
func (d *document) find(location []string) *yaml.Node {
	at, value := d.root, d.root
	for _, name := range location {
		switch value.Kind {
		case yaml.MappingNode:
			for i := 0; i+1 < len(value.Content); i += 2 {
				if value.Content[i].Value == name {
					at, value = value.Content[i], value.Content[i+1]
					break
				}
			}
		case yaml.SequenceNode:
			if i, err := strconv.Atoi(name); err == nil && i < len(value.Content) {
				at, value = value.Content[i], value.Content[i]
			}
		}
	}
	return at
}

// Package schema makes JSON Schemas of the Go types that files are decoded into,
// so that what an editor knows of a file is what the program takes.
package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// Draft is the dialect of the schemas.
const Draft = "https://json-schema.org/draft/2020-12/schema"

// Schema is one schema, as it is encoded.
type Schema map[string]any

// Maker knows what the types themselves do not tell.
type Maker struct {
	Tag    string                  // whose names count: json, yaml
	Types  map[reflect.Type]Schema // types with a form of their own
	Fields map[string]Schema       // by TYPE.NAME: added to what the type gives
	Only   map[string][]string     // by TYPE: the names to take; others: all
	Needed map[string][]string     // by TYPE: the names that must be there
	defs   map[string]Schema
}

// Document makes the schema of a file whose outermost type is t.
func (m *Maker) Document(t reflect.Type, name, title string) ([]byte, error) {
	m.defs = map[string]Schema{}
	root := m.object(t)
	root["$schema"], root["$id"], root["title"] = Draft, "/schemas/"+name+".json", title
	if len(m.defs) > 0 {
		root["$defs"] = m.defs
	}
	text, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("encode the schema of %s: %w", name, err)
	}
	return append(text, '\n'), nil
}

// object makes the schema of a struct. A key that it does not have is refused.
func (m *Maker) object(t reflect.Type) Schema {
	properties := Schema{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get(m.Tag), ",")
		if only, some := m.Only[t.Name()]; name == "" || name == "-" || some && !slices.Contains(only, name) {
			continue
		}
		s := m.of(f.Type)
		maps.Copy(s, m.Fields[t.Name()+"."+name])
		properties[name] = s
	}
	s := Schema{"type": "object", "properties": properties, "additionalProperties": false}
	if needed := m.Needed[t.Name()]; needed != nil {
		s["required"] = needed
	}
	return s
}

func (m *Maker) of(t reflect.Type) Schema {
	if known, ok := m.Types[t]; ok {
		return clone(known)
	}
	if t.Kind() == reflect.Pointer {
		return m.of(t.Elem())
	}
	switch {
	case t == reflect.TypeFor[time.Time]():
		return Schema{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[time.Duration]():
		return Schema{"type": "string", "pattern": `^[0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h)([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))*$|^0$`, "examples": []string{"30m"}}
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return Schema{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Bool:
		return Schema{"type": "boolean"}
	case reflect.Int, reflect.Int32, reflect.Int64:
		return Schema{"type": "integer"}
	case reflect.Float64:
		return Schema{"type": "number"}
	case reflect.Slice:
		return Schema{"type": "array", "items": m.of(t.Elem())}
	case reflect.Map:
		return Schema{"type": "object", "additionalProperties": m.of(t.Elem())}
	case reflect.Struct:
		if _, done := m.defs[t.Name()]; !done {
			m.defs[t.Name()] = nil // a type that holds itself ends here
			m.defs[t.Name()] = m.object(t)
		}
		return Schema{"$ref": "#/$defs/" + t.Name()}
	default:
		return Schema{"type": "string"}
	}
}

func clone(s Schema) Schema { return maps.Clone(s) }

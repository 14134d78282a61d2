package job

import (
	"maps"
	"reflect"
	"unicode/utf8"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// DecodeDocument reads one mapping, JSON or YAML, into the struct that v points
// to, by the json names of its fields; a field of type []Spec takes jobs. It is
// as strict as DecodeSpecs and returns the same kinds.
func DecodeDocument(body []byte, contentType string, v any) error {
	if !utf8.Valid(body) {
		return malformed("the body is not UTF-8")
	}
	isJSON, err := sniff(body, contentType)
	if err != nil {
		return err
	}
	parse, limit := parseYAML, MaxYAML
	if isJSON {
		parse, limit = parseJSON, MaxJSON
	}
	if len(body) > limit {
		return fault.Newf(fault.Invalid, "HX-JOB-001", "send less", "the body holds %d bytes; %d are allowed", len(body), limit)
	}
	root, err := parse(body)
	if err != nil {
		return err
	}
	var b binder
	b.bindDocument(root, reflect.ValueOf(v).Elem())
	return b.err()
}

func (b *binder) bindDocument(root *node, v reflect.Value) {
	if root.kind != kindMap {
		b.problemf(root.pos, "the body", "must be a mapping, not %s", root.kind)
		return
	}
	names := fieldNames(v.Type())
	for _, p := range root.pairs {
		i, ok := names[p.key]
		if !ok {
			hint := ""
			if len(b.problems) < maxProblems { // a suggestion that nobody sees costs time
				hint = suggestion(p.key, maps.Keys(names))
			}
			b.problemf(p.pos, p.key, "unknown key%s", hint)
			continue
		}
		if specs, jobs := reflect.TypeAssert[*[]Spec](v.Field(i).Addr()); jobs {
			b.bindSpecs(p.value, p.key, specs)
			continue
		}
		b.bind(p.value, p.key, v.Field(i))
	}
}

// bindSpecs fills a list of at most MaxBatch jobs.
func (b *binder) bindSpecs(n *node, path string, specs *[]Spec) {
	if !b.expect(n, path, kindList) {
		return
	}
	if len(n.items) > MaxBatch {
		b.problemf(n.pos, path, "holds %d jobs; %d are allowed", len(n.items), MaxBatch)
		return
	}
	*specs = make([]Spec, len(n.items))
	for i, item := range n.items {
		b.bindSpec(item, path+"["+itoa(i)+"]", &(*specs)[i])
	}
}

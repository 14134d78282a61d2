package job

import (
	"fmt"
	"iter"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// maxProblems is how many problems a message lists.
const maxProblems = 20

// binder fills Go values from nodes and gathers what is wrong with them.
type binder struct {
	hints    map[string]string // why a key is not known here
	problems []string
	more     int
	columns  bool // say the column, too
}

func (b *binder) problemf(at pos, path, format string, args ...any) {
	if len(b.problems) == maxProblems {
		b.more++
		return
	}
	where := fmt.Sprintf("line %d", at.line)
	if b.columns {
		where = at.String()
	}
	b.problems = append(b.problems, fmt.Sprintf("%s: %.200s: %s", where, path, fmt.Sprintf(format, args...)))
}

func (b *binder) err() error {
	if len(b.problems) == 0 {
		return nil
	}
	msg := strings.Join(b.problems, "; ")
	if b.more > 0 {
		msg += fmt.Sprintf("; and %d more", b.more)
	}
	return fault.New(fault.Invalid, "HX-JOB-004", msg, "see the job specification in the API document")
}

// bindSpec fills a Spec by the json names of its fields.
func (b *binder) bindSpec(n *node, where string, s *Spec) {
	if n.kind != kindMap {
		b.problemf(n.pos, orBody(where), "must be a job (a mapping), not %s", n.kind)
		return
	}
	if isWorkflow(n) || n.get("jobs") != nil {
		if where != "" {
			where += "."
		}
		b.bindWorkflow(n, where, s)
		return
	}
	b.bindStruct(n, where, reflect.ValueOf(s).Elem())
}

// bindStruct fills a struct by the json names of its fields.
func (b *binder) bindStruct(n *node, where string, v reflect.Value) {
	if where != "" {
		where += "."
	}
	names := fieldNames(v.Type())
	if v.Type() == reflect.TypeFor[Spec]() { // a workflow, which bindWorkflow fills
		delete(names, "jobs")
		delete(names, "finally")
	}
	for _, p := range n.pairs {
		i, ok := names[p.key]
		switch {
		case ok:
			b.bind(p.value, where+p.key, v.Field(i))
		case len(b.problems) == maxProblems: // a suggestion that nobody sees costs time
			b.more++
		case b.hints[p.key] != "":
			b.problemf(p.pos, where+p.key, "%s", b.hints[p.key])
		default:
			b.problemf(p.pos, where+p.key, "unknown key%s", suggestion(p.key, maps.Keys(names)))
		}
	}
}

func orBody(where string) string {
	if where == "" {
		return "the body"
	}
	return where
}

// KeyOf is the key that a document has for a field.
func KeyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name
}

// fieldNames maps the json names of a struct to its fields.
func fieldNames(t reflect.Type) map[string]int {
	names := make(map[string]int, t.NumField())
	for i := range t.NumField() {
		names[KeyOf(t.Field(i))] = i
	}
	return names
}

// bind fills one field. Null leaves it as it is.
func (b *binder) bind(n *node, path string, v reflect.Value) {
	if n.kind == kindNull {
		return
	}
	switch p := v.Addr().Interface().(type) {
	case **time.Time:
		b.bindTime(n, path, p)
		return
	case *[]Spec:
		b.bindSpecs(n, path, p)
		return
	case *Bandwidth:
		if n.kind == kindNumber || b.expect(n, path, kindString) {
			*p = Bandwidth(n.text)
		}
		return
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		b.bind(n, path, v.Elem())
	case reflect.String:
		if b.expect(n, path, kindString) {
			v.SetString(n.text)
		}
	case reflect.Bool:
		if b.expect(n, path, kindBool) {
			v.SetBool(strings.EqualFold(n.text, "true"))
		}
	case reflect.Int:
		b.bindInt(n, path, v)
	case reflect.Float64:
		b.bindFloat(n, path, v)
	case reflect.Slice:
		b.bindSlice(n, path, v)
	case reflect.Map:
		b.bindMap(n, path, v)
	case reflect.Struct:
		if b.expect(n, path, kindMap) {
			b.bindStruct(n, path, v)
		}
	}
}

func (b *binder) expect(n *node, path string, want nodeKind) bool {
	if n.kind == want {
		return true
	}
	hint := ""
	if want == kindString && (n.kind == kindNumber || n.kind == kindBool) {
		hint = "; put it in quotes"
	}
	b.problemf(n.pos, path, "must be %s, not %s%s", want, n.kind, hint)
	return false
}

func (b *binder) bindInt(n *node, path string, v reflect.Value) {
	if !b.expect(n, path, kindNumber) {
		return
	}
	i, err := strconv.ParseInt(n.text, 10, 32)
	if err != nil {
		b.problemf(n.pos, path, "must be a whole number of at most nine digits")
		return
	}
	v.SetInt(i)
}

func (b *binder) bindFloat(n *node, path string, v reflect.Value) {
	if !b.expect(n, path, kindNumber) {
		return
	}
	f, err := strconv.ParseFloat(n.text, 64)
	if err != nil || math.IsInf(f, 0) || math.IsNaN(f) {
		b.problemf(n.pos, path, "must be a number")
		return
	}
	v.SetFloat(f)
}

func (b *binder) bindTime(n *node, path string, p **time.Time) {
	if !b.expect(n, path, kindString) {
		return
	}
	t, err := time.Parse(time.RFC3339, n.text)
	if err != nil {
		b.problemf(n.pos, path, "must be a time such as 2026-03-01T22:00:00Z")
		return
	}
	*p = timeRef(t)
}

func (b *binder) bindSlice(n *node, path string, v reflect.Value) {
	if !b.expect(n, path, kindList) {
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		b.bind(item, path+"["+itoa(i)+"]", v.Index(i))
	}
}

func (b *binder) bindMap(n *node, path string, v reflect.Value) {
	if !b.expect(n, path, kindMap) {
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.pairs)))
	for _, p := range n.pairs {
		value := reflect.New(v.Type().Elem()).Elem()
		b.bind(p.value, path+"."+p.key, value)
		v.SetMapIndex(reflect.ValueOf(p.key), value)
	}
}

func itoa(i int) string { return strconv.Itoa(i) }

// suggestion names the known key that is nearest to a mistyped one.
func suggestion(key string, names iter.Seq[string]) string {
	if nearest := Nearest(key, names); nearest != "" {
		return fmt.Sprintf("; did you mean %s?", nearest)
	}
	return ""
}

// Nearest returns the name that differs least from a mistyped one, or nothing if
// all differ much.
func Nearest(mistyped string, names iter.Seq[string]) string {
	best, nearest := 3, ""
	for _, name := range slices.Sorted(names) {
		if d := distance(mistyped, name, best); d < best {
			best, nearest = d, name
		}
	}
	return nearest
}

// distance is the Levenshtein distance of two short texts, or limit if it is
// not less.
func distance(a, b string, limit int) int {
	if len(a) > 64 || len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, diagonal+1)
		}
	}
	return min(row[len(b)], limit)
}

package store

import (
	"fmt"
	"strings"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// where is a condition with its arguments.
type where struct {
	terms []string
	args  []any
}

// add appends a term; each %d in it is the number of one more argument.
func (w *where) add(term string, args ...any) {
	numbers := make([]any, len(args))
	for i, a := range args {
		w.args = append(w.args, a)
		numbers[i] = len(w.args)
	}
	w.terms = append(w.terms, fmt.Sprintf(term, numbers...))
}

// arg appends an argument that is used outside of the condition.
func (w *where) arg(v any) string {
	w.args = append(w.args, v)
	return fmt.Sprintf("$%d", len(w.args))
}

func (w *where) String() string { return strings.Join(w.terms, " AND ") }

// in appends `column IN (…)` unless there are no values.
func in[T, V any](w *where, column string, values []T, to func(T) V) {
	if len(values) == 0 {
		return
	}
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = to(v)
	}
	w.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("$%d, ", len(args)), ", ")+")", args...)
}

// where returns the condition of a query within the reader's tenant.
func (r *reader) where(q service.Query) *where {
	w := &where{}
	w.add("tenant = $%d", r.tenant)
	in(w, "id", q.IDs, func(id string) string { return id })
	in(w, "state", q.States, func(s job.State) string { return string(s) })
	in(w, "priority", q.Priorities, job.Priority.Class)
	if q.VM != "" {
		w.vm(q.VM)
	}
	if !q.Since.IsZero() {
		w.add("submitted_at >= $%d", q.Since.UnixMicro())
	}
	if !q.Until.IsZero() {
		w.add("submitted_at < $%d", q.Until.UnixMicro())
	}
	return w
}

// like turns the wildcards of a query into those of SQL.
var like = strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`, `*`, `%`, `?`, `_`)

// vm adds the condition for a VM: an inventory path if it has a slash, or else a
// name.
func (w *where) vm(v string) {
	path, name := searchKeys(v)
	isPath := strings.Contains(v, "/")
	switch wild := strings.ContainsAny(v, "*?"); {
	case wild && isPath:
		w.add(`vm_path LIKE $%d ESCAPE '\'`, like.Replace(path))
	case wild:
		w.add(`vm_name LIKE $%d ESCAPE '\'`, like.Replace(name))
	case isPath:
		w.add(`vm_name = $%d AND vm_path = $%d`, name, path)
	default:
		w.add(`vm_name = $%d`, name)
	}
}

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

// The columns that indexes for lists lead with, before seq.
const (
	byTenant = "tenant"
	byState  = "state"
	byVM     = "vm_name"
)

// leadOf names the column whose index a page is read from, if there is one for the
// query.
//
// What it has to be is given to PostgreSQL as the part of that index below a place,
// and not by an equation: then it would take any index in the order of seq for as
// good, and look through the jobs of all tenants for those of one that has few.
func leadOf(q service.Query) string {
	switch {
	case len(q.IDs) > 0 || len(q.States) > 1:
		return ""
	case q.VM != "" && !strings.ContainsAny(q.VM, "*?"):
		return byVM
	case len(q.States) == 1:
		return byState
	}
	return byTenant
}

// lead returns what the column has to be.
func (r *reader) lead(q service.Query, column string) string {
	switch column {
	case byVM:
		_, name := searchKeys(q.VM)
		return name
	case byState:
		return string(q.States[0])
	}
	return r.tenant
}

// below adds that a column has a value, and that the job is before a place: for
// SQLite as the equation, for PostgreSQL, which drops what is always true, as the
// range.
func (w *where) below(column, value string, before int64) {
	w.add("("+column+" = $%[1]d AND seq < $%[2]d /*! OR TRUE */) /*! AND ("+column+", seq) < ($%[1]d, $%[2]d) AND "+column+" >= $%[1]d */", value, before)
}

// where returns the condition of a query within the reader's tenant, but for what
// the leading column has to be.
func (r *reader) where(q service.Query, lead string) *where {
	w := &where{}
	if lead != byTenant {
		w.add("tenant = $%d", r.tenant)
	}
	in(w, "id", q.IDs, func(id string) string { return id })
	if lead != byState {
		in(w, "state", q.States, func(s job.State) string { return string(s) })
	}
	in(w, "priority", q.Priorities, job.Priority.Class)
	if q.VM != "" {
		w.vm(q.VM, lead == byVM)
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
// name. named is set if its name is in another condition.
func (w *where) vm(v string, named bool) {
	path, name := searchKeys(v)
	isPath := strings.Contains(v, "/")
	switch wild := strings.ContainsAny(v, "*?"); {
	case wild && isPath:
		w.add(`vm_path LIKE $%d ESCAPE '\'`, like.Replace(path))
	case wild:
		w.add(`vm_name LIKE $%d ESCAPE '\'`, like.Replace(name))
	case isPath:
		w.add(`vm_path = $%d`, path)
		fallthrough
	default:
		if !named {
			w.add(`vm_name = $%d`, name)
		}
	}
}

package store

import (
	"cmp"
	"maps"
	"slices"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

// buffer keeps back what the updates of a transaction insert, until a statement
// might look for it, or the commit: then one statement inserts many rows, of many
// updates.
type buffer struct {
	jobs   []newJob
	events [][]any
	later  []statement // that need no answer, and concern no job
	used   map[account]used
}

// newJob is a row of jobs, and where its number goes.
type newJob struct {
	seq *int64
	row []any
}

// account is a tenant's month.
type account struct {
	tenant string
	month  tenant.Month
}

func (b *buffer) drop() { *b = buffer{} }

func (b *buffer) use(a account, u used) {
	if b.used == nil {
		b.used = make(map[account]used)
	}
	b.used[a] = b.used[a].plus(u)
}

var (
	insertJobs = newMany(`INSERT INTO jobs (id, tenant, state, priority, delayed, not_before, max_attempts, submitted_at, vm_path, vm_name, spec, ready_at, trace) VALUES `,
		make([]string, 13), ` RETURNING id, seq`)
	insertEvents = newMany(`INSERT INTO events (job_id, tenant, kind, actor, at, data, facts) VALUES `, make([]string, 7), ``)
)

// inserts returns the statements for the jobs that were kept back, in their order,
// and for what was left for later.
func (w *writer) inserts() (all []statement) {
	for part := range parts(w.kept.jobs) {
		seqs, rows := make(map[string]*int64, len(part)), make([][]any, len(part))
		for i, j := range part {
			seqs[j.row[0].(string)], rows[i] = j.seq, j.row //nolint:errcheck,forcetypeassert // insert made the row
		}
		all = append(all, statement{insertJobs.text(w.d, len(part)), slices.Concat(rows...), func(scan func(...any) error) error {
			var id string
			var seq int64
			if err := scan(&id, &seq); err != nil {
				return err
			}
			*seqs[id] = seq
			return nil
		}})
		w.noted(len(part))
	}
	all = append(all, w.kept.later...)
	w.noted(len(w.kept.later))
	w.kept.jobs, w.kept.later = nil, nil
	return all
}

// appends returns the statements for the events.
func (w *writer) appends() (all []statement) {
	for part := range parts(w.kept.events) {
		all = append(all, statement{insertEvents.text(w.d, len(part)), slices.Concat(part...), nil})
		w.noted(len(part))
	}
	w.kept.events = nil
	return all
}

// sums returns the statements for the usage. All writers add to the same rows of it,
// and who holds one must wait for nobody: nothing may follow but the commit.
func (w *writer) sums() (all []statement) {
	months := w.kept.used
	order := slices.SortedFunc(maps.Keys(months), account.compare) // one for all: no circle
	for _, a := range order {
		if n := months[a].stored; n != 0 {
			all = append(all, statement{sqlAddStored, []any{n, a.tenant}, nil})
		}
	}
	for _, a := range order {
		u := months[a]
		all = append(all, statement{sqlAddUsage, []any{
			a.tenant, string(a.month), u.completed, u.failed, u.cancelled, u.read, u.transferred, u.stored, u.time,
		}, nil})
	}
	w.noted(len(all))
	w.kept.used = nil
	return all
}

// noted counts rows that are to be written.
func (w *writer) noted(rows int) {
	w.pending += rows
	w.changed += int64(rows)
}

// flushJobs writes what a question about jobs might look for.
func (w *writer) flushJobs() error {
	_, err := w.pipe(w.inserts()...)
	return err
}

// flushRows writes all but the usage.
func (w *writer) flushRows() error {
	_, err := w.pipe(append(w.inserts(), w.appends()...)...)
	return err
}

// commit writes all that was kept back and ends the transaction. committing is set
// if the commit may have reached the database.
func (w *writer) commit() (committing bool, err error) {
	all := slices.Concat(w.inserts(), w.appends(), w.sums(), []statement{{sql: "COMMIT"}})
	err = w.confirmed(func() error {
		at, err := w.pipe(all...)
		committing = at == len(all)-1 || at != unsent && isLost(err)
		return err
	})
	return committing, err
}

func (a account) compare(b account) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.month, b.month))
}

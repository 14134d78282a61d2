package store

import (
	"cmp"
	"database/sql"
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

// flushJobs inserts the jobs that were kept back, in their order.
func (w *writer) flushJobs() error {
	jobs := w.kept.jobs
	w.kept.jobs = nil
	for len(jobs) > 0 {
		n := insertJobs.fit(len(jobs))
		part := make(map[string]*int64, n)
		var args []any
		for _, j := range jobs[:n] {
			part[j.row[0].(string)] = j.seq //nolint:errcheck,forcetypeassert // insert made the row
			args = append(args, j.row...)
		}
		jobs = jobs[n:]
		s, err := w.stmt(insertJobs.text(w.d, n)) //nolint:sqlclosecheck // the writer keeps it
		if err != nil {
			return err
		}
		w.pending += n
		w.changed += int64(n)
		rows, err := s.QueryContext(w.ctx, args...)
		_, err = scanAll(rows, err, func(rows *sql.Rows) (struct{}, error) {
			var id string
			var seq int64
			err := rows.Scan(&id, &seq)
			*part[id] = seq
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// flushRows inserts jobs and events that were kept back.
func (w *writer) flushRows() error {
	if err := w.flushJobs(); err != nil {
		return err
	}
	events := w.kept.events
	w.kept.events = nil
	for len(events) > 0 {
		n := insertEvents.fit(len(events))
		w.pending += n
		w.changed += int64(n)
		if err := w.exec(insertEvents.text(w.d, n), slices.Concat(events[:n]...)...); err != nil {
			return err
		}
		events = events[n:]
	}
	return nil
}

// flush inserts all that was kept back. Nothing may follow but the commit: all
// writers add to the same rows of usage, and who holds one must wait for nobody.
func (w *writer) flush() error {
	if err := w.flushRows(); err != nil {
		return err
	}
	months := w.kept.used
	w.kept.used = nil
	order := slices.SortedFunc(maps.Keys(months), account.compare) // one for all: no circle
	for _, a := range order {
		if n := months[a].stored; n != 0 {
			w.pending++
			w.changed++
			if err := w.exec(`UPDATE tenants SET stored_bytes = stored_bytes + $1 WHERE id = $2`, n, a.tenant); err != nil {
				return err
			}
		}
	}
	for _, a := range order {
		u := months[a]
		w.pending++
		w.changed++
		if err := w.exec(sqlAddUsage, a.tenant, string(a.month), u.completed, u.failed, u.cancelled,
			u.read, u.transferred, u.stored, u.time); err != nil {
			return err
		}
	}
	return nil
}

func (a account) compare(b account) int {
	return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.month, b.month))
}

package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// tx is one update: it sees what earlier updates of the same batch did.
type tx struct {
	w      *writer
	now    time.Time
	topics []event.Topic  // touched after the commit
	placed map[string]int // entries that got places in the log, by result
	origin tenant.Origin  // of who asked for the update
	wrote  bool           // there may be something to undo
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int64, error) {
	if err := t.w.flushRows(); err != nil {
		return 0, err
	}
	return t.execAside(query, args...)
}

// execAside is exec for a statement that does not concern the rows that are kept
// back: new jobs, events, usage.
func (t *tx) execAside(query string, args ...any) (int64, error) {
	s, err := t.w.stmt(query) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return 0, err
	}
	t.wrote = true
	t.w.pending++
	r, err := s.ExecContext(t.w.ctx, args...)
	if err != nil {
		return 0, err
	}
	n, err := r.RowsAffected()
	t.w.changed += n
	return n, err
}

// later leaves a statement for the commit, or for what might see it: nobody waits
// for its answer.
func (t *tx) later(query string, args ...any) {
	t.wrote = true
	t.w.kept.later = append(t.w.kept.later, statement{sql: query, args: args})
}

// row runs a query for at most one row. found is false without one.
func (t *tx) row(query string, args []any, dest ...any) (found bool, err error) {
	if err := t.w.flushJobs(); err != nil {
		return false, err
	}
	return t.rowAside(query, args, dest...)
}

// rowAside is row for a query that does not look for jobs.
func (t *tx) rowAside(query string, args []any, dest ...any) (found bool, err error) {
	t.wrote = t.wrote || !strings.HasPrefix(query, "SELECT")
	s, err := t.w.stmt(query) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(t.w.ctx, args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// strings runs a query for one column of texts.
func (t *tx) strings(query string, args ...any) ([]string, error) {
	if err := t.w.flushJobs(); err != nil {
		return nil, err
	}
	s, err := t.w.stmt(query) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, args...)
	return scanAll(rows, err, func(rows *sql.Rows) (v string, err error) { return v, rows.Scan(&v) })
}

// scanAll reads all rows of a query and closes it.
func scanAll[T any](rows *sql.Rows, err error, scan func(*sql.Rows) (T, error)) (all []T, _ error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err below tells what went wrong
	for rows.Next() {
		v, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
	return all, rows.Err()
}

// lease is the time that leases are measured by, in microseconds.
func (t *tx) lease() int64 {
	if t.w.clock.set != nil {
		return t.now.UnixMicro() // what the database said
	}
	return t.w.clock.lease()
}

func (t *tx) touch(topics ...event.Topic) { t.topics = append(t.topics, topics...) }

// insert stores a new job and its first event. The job gets its Seq at the latest
// with the commit.
func (t *tx) insert(j *job.Job, actor string) error {
	spec, err := encode(j.Spec)
	if err != nil {
		return err
	}
	path, name := searchKeys(j.Spec.VM())
	t.w.kept.jobs = append(t.w.kept.jobs, newJob{&j.Seq, []any{
		j.ID, j.Tenant, string(j.State), j.Priority.Class(), t.delayed(*j), micros(j.NotBefore), j.MaxAttempts,
		j.SubmittedAt.UnixMicro(), path, name, spec, j.ReadyAt.UnixMicro(), t.origin.TraceParent,
	}})
	t.wrote = true
	t.touch(event.Queue)
	return t.append(event.OfSubmit(*j, actor))
}

// append adds an event to the log.
func (t *tx) append(e event.Event) error {
	if t.origin != (tenant.Origin{}) {
		e.Data.Origin = &t.origin
	}
	data, err := encode(e.Data)
	if err != nil {
		return err
	}
	var facts sql.NullString
	if len(e.Facts) > 0 {
		facts.Valid = true
		if facts.String, err = encode(e.Facts); err != nil {
			return err
		}
	}
	t.w.kept.events = append(t.w.kept.events, []any{e.JobID, e.Tenant, string(e.Kind), e.Actor, e.Time.UnixMicro(), data, facts})
	t.wrote = true
	t.touch(event.JobTopic(e.JobID), event.Appended)
	return nil
}

// delayed is not 0 for a pending job that is held back.
func (t *tx) delayed(j job.Job) int {
	switch {
	case j.State != job.Pending:
		return 0
	case j.Paused:
		return delayedPaused
	case j.NotBefore != nil && j.NotBefore.After(t.now):
		return delayedUntil
	}
	return 0
}

// job reads a whole job, and holds off who else would change it.
func (t *tx) job(id string) (row, error) {
	r, found, err := t.find(`id = $1`, id)
	if err == nil && !found {
		err = errNoJob(id)
	}
	return r, err
}

// find reads the job that a condition names, and holds off who else would change
// it.
func (t *tx) find(condition string, arg any) (row, bool, error) {
	all, err := t.rows(`SELECT `+wholeColumns+` FROM jobs WHERE `+condition+` /*! FOR UPDATE */`, arg)
	if err != nil || len(all) == 0 {
		return row{}, false, err
	}
	return all[0], true, nil
}

// rows runs a query for whole jobs.
func (t *tx) rows(query string, args ...any) ([]row, error) {
	if err := t.w.flushJobs(); err != nil {
		return nil, err
	}
	s, err := t.w.stmt(query) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, args...)
	return scanAll(rows, err, func(rows *sql.Rows) (r row, err error) {
		if err := rows.Scan(r.whole()...); err != nil {
			return r, err
		}
		return r, r.decode(t.now)
	})
}

var selectJobs = newMany(`SELECT `+wholeColumns+` FROM jobs WHERE id IN (`, make([]string, 1), `) ORDER BY id /*! FOR UPDATE */`)

// findAll is find for some ids. The rows come in the order of the ids' texts.
func (t *tx) findAll(ids []string) (all []row, err error) {
	for part := range slices.Chunk(slices.Sorted(slices.Values(ids)), maxRows) {
		text, args := selectJobs.padded(t.w.d, keys(part))
		some, err := t.rows(text, args...)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// apply moves a job along the state table and appends the event of it.
func (t *tx) apply(r row, c job.Change) (job.Job, bool, error) {
	m := &move{row: r, change: c}
	if err := t.applyAll([]*move{m}); err != nil {
		return r.Job, false, err
	}
	return m.Job, m.changed, m.err
}

// flag is a truth as the database has it.
func flag(v bool) int {
	if v {
		return 1
	}
	return 0
}

func encode(v any) (string, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("encode %T: %w", v, err)
	}
	return string(b), nil
}

// encodeOrNull makes NULL of nil.
func encodeOrNull[T *job.Failure | []job.Artifact | *job.Progress](v T) (sql.NullString, error) {
	s, err := encode(v)
	return sql.NullString{String: s, Valid: s != "null"}, err
}

func errNoJob(id string) error {
	return fault.Newf(fault.NotFound, "HX-JOB-041", "list the jobs to see their ids", "there is no job %.100q", id)
}

func errStale(id string) error {
	return fault.Newf(fault.Conflict, "HX-JOB-042", "", "job %s has changed hands: this lease is over", id)
}

package store

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/service"
)

// What an explanation looks at: the first jobs of each lane, and those that wait
// longest, as far as it looks ahead.
const (
	sqlLane = `SELECT tenant, priority, seq, ready_at, host FROM jobs
		WHERE tenant = $1 AND state = 'pending' AND delayed = 0 AND priority >= $2 AND priority <= $2 ORDER BY priority, seq LIMIT $3`
	sqlAges = `SELECT tenant, priority, seq, ready_at, host FROM jobs
		WHERE tenant = $1 AND state = 'pending' AND delayed = 0 ORDER BY ready_at, seq LIMIT $2`
	sqlDue = `SELECT tenant, priority, seq, ready_at, host FROM jobs
		WHERE state = 'pending' AND delayed = 1 AND not_before <= $1 ORDER BY not_before LIMIT $2`
	// sqlParked are those that wait for hosts: more slots, and any of them may be
	// next.
	sqlParked = `SELECT tenant, priority, seq, ready_at, host FROM jobs
		WHERE state = 'pending' AND delayed = 3 AND host <> '' ORDER BY priority, seq LIMIT $1`
	sqlParkedAges = `SELECT tenant, priority, seq, ready_at, host FROM jobs
		WHERE state = 'pending' AND delayed = 3 AND host <> '' ORDER BY ready_at, seq LIMIT $1`
	sqlHolders = `SELECT s.host, s.job_id, j.tenant FROM host_slots s JOIN jobs j ON j.id = s.job_id WHERE s.host = $1 ORDER BY s.taken_at, s.job_id`
	sqlTook    = `SELECT CAST(COALESCE(SUM(finished_at - started_at), 0) AS BIGINT), COUNT(*) FROM (SELECT finished_at, started_at FROM jobs
		WHERE tenant = $1 AND state >= 'completed' AND state <= 'completed' ORDER BY state DESC, seq DESC LIMIT 20) AS recent`
)

// Explain implements service.Reader.
func (r *reader) Explain(ctx context.Context, id string, free int) (service.Waits, error) {
	j, err := r.Job(ctx, id)
	w := service.Waits{Job: j}
	if err != nil || j.State != job.Pending {
		return w, err
	}
	q := &questions{ctx: ctx, s: r.s}
	c := q.ask(j)
	c.Free = free
	w.Took = q.took(r.tenant)
	if q.err != nil {
		return w, classify(q.err)
	}
	w.Verdict = r.s.policy.Explain(c)
	w.Host = q.hostWait(c, r.tenant)
	if q.err != nil {
		return w, classify(q.err)
	}
	for _, s := range c.State.Shares {
		if s.Tenant == r.tenant {
			w.Running, w.Limit = s.Running, s.Limit
		}
	}
	return w, nil
}

// questions are the reads of one explanation. After an error they read nothing.
type questions struct {
	ctx context.Context //nolint:containedctx // of one call
	s   *Store
	err error
}

// ask reads the case of a pending job.
func (q *questions) ask(j job.Job) admission.Case {
	c := admission.Case{
		Job:    admission.Waiting{Tenant: j.Tenant, Host: j.Host, Ready: admission.Ready{Seq: j.Seq, Class: j.Priority.Class(), Since: j.ReadyAt}},
		Parked: j.WaitReason == job.WaitHostLimit,
		Paused: j.Paused, Retrying: j.Retrying(), Now: q.s.clock.wall(),
	}
	at := c.Now
	if j.NotBefore != nil {
		c.NotBefore = *j.NotBefore
		if c.NotBefore.After(at) && !c.Retrying {
			at = c.NotBefore
		}
	}
	c.State = q.state()
	due := q.waiting(sqlDue, at.UnixMicro(), 4*admission.Depth)
	if j.Host != "" {
		due = append(due, q.waiting(sqlParked, 4*admission.Depth)...)
		due = append(due, q.waiting(sqlParkedAges, 4*admission.Depth)...)
	}
	for _, o := range append(due, c.Job) {
		q.know(&c.State, o.Tenant)
	}
	seen := map[int64]bool{j.Seq: true}
	for _, found := range append(q.ahead(c, at), due) {
		for _, o := range found {
			if !seen[o.Seq] {
				seen[o.Seq] = true
				c.Jobs = append(c.Jobs, o)
			}
		}
	}
	slices.SortFunc(c.Jobs, func(a, b admission.Waiting) int { return int(a.Seq - b.Seq) })
	c.State.Hosts = q.hosts(append(slices.Clip(c.Jobs), c.Job))
	return c
}

// ahead reads what may start before the job: lanes of its class and those above,
// and what is aged at a time.
func (q *questions) ahead(c admission.Case, at time.Time) (found [][]admission.Waiting) {
	for _, s := range c.State.Shares {
		for class := range c.Job.Class + 1 {
			if s.Head[class] != 0 {
				found = append(found, q.waiting(sqlLane, s.Tenant, class, admission.Depth))
			}
		}
		if s.Oldest.Seq != 0 && !s.Oldest.Since.After(at.Add(-q.s.policy.AgeAfter)) {
			found = append(found, q.waiting(sqlAges, s.Tenant, admission.Depth))
		}
	}
	return found
}

func (q *questions) state() (s admission.State) {
	if q.err == nil {
		v := &s.Virtual
		q.err = q.s.read.QueryRowContext(q.ctx, sqlScheduler).Scan(&s.Turn, &v[0], &v[1], &v[2], &v[3])
	}
	s.Shares = q.shares(sqlShares)
	return s
}

// know adds a tenant that has no ready job to the state.
func (q *questions) know(s *admission.State, tenant string) {
	if !slices.ContainsFunc(s.Shares, func(x admission.Share) bool { return x.Tenant == tenant }) {
		s.Shares = append(s.Shares, q.shares(sqlShareOf, tenant)...)
	}
}

func (q *questions) shares(query string, args ...any) (all []admission.Share) {
	if q.err != nil {
		return nil
	}
	rows, err := q.s.read.QueryContext(q.ctx, query, args...)
	all, q.err = scanAll(rows, err, func(rows *sql.Rows) (admission.Share, error) { return scanShare(rows.Scan) })
	return all
}

func (q *questions) waiting(query string, args ...any) (all []admission.Waiting) {
	if q.err != nil {
		return nil
	}
	rows, err := q.s.read.QueryContext(q.ctx, query, args...)
	all, q.err = scanAll(rows, err, func(rows *sql.Rows) (w admission.Waiting, err error) {
		var since int64
		err = rows.Scan(&w.Tenant, &w.Class, &w.Seq, &since, &w.Host)
		w.Since = time.UnixMicro(since).UTC()
		return w, err
	})
	return all
}

// took is how long the tenant's last completed jobs took on average.
func (q *questions) took(tenant string) time.Duration {
	var sum, n int64
	if q.err == nil {
		q.err = q.s.read.QueryRowContext(q.ctx, sqlTook, tenant).Scan(&sum, &n)
	}
	return time.Duration(sum/max(1, n)) * time.Microsecond
}

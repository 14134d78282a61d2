package store

import (
	"maps"
	"slices"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/dispatch"
)

// The state of the decisions, as package admission wants it. Each tenant that
// has a ready job is found by one step in an index, and so is each of its heads:
// the cost depends on the tenants that wait, not on the jobs.
const (
	// sqlScheduler is read first: where several nodes claim, the row is locked,
	// and what follows sees what the claim before did.
	sqlScheduler = `SELECT turn, critical, high, normal, low FROM scheduler WHERE id = 1 /*! FOR UPDATE */`

	sqlActive = `WITH RECURSIVE active(tenant) AS (
		SELECT (SELECT j.tenant FROM jobs j WHERE j.state = 'pending' AND j.delayed = 0 ORDER BY j.tenant LIMIT 1)
		UNION ALL
		SELECT (SELECT j.tenant FROM jobs j WHERE j.state = 'pending' AND j.delayed = 0 AND j.tenant > a.tenant ORDER BY j.tenant LIMIT 1)
		FROM active a WHERE a.tenant IS NOT NULL)`
	sqlOne = `WITH active(tenant) AS (SELECT CAST($1 AS TEXT))`

	sqlShare = ` SELECT a.tenant, COALESCE(t.weight, 1), COALESCE(t.max_concurrent_jobs, 0), COALESCE(t.paused, 0),
		(SELECT COUNT(*) FROM jobs j WHERE j.tenant = a.tenant AND j.lease_until IS NOT NULL),
		COALESCE(s.critical, 0), COALESCE(s.high, 0), COALESCE(s.normal, 0), COALESCE(s.low, 0), ` +
		sqlHead + `j.priority >= 0 AND j.priority <= 0 ORDER BY j.priority, j.seq LIMIT 1), 0), ` + sqlHead + `j.priority >= 1 AND j.priority <= 1 ORDER BY j.priority, j.seq LIMIT 1), 0), ` +
		sqlHead + `j.priority >= 2 AND j.priority <= 2 ORDER BY j.priority, j.seq LIMIT 1), 0), ` + sqlHead + `j.priority >= 3 AND j.priority <= 3 ORDER BY j.priority, j.seq LIMIT 1), 0),
		COALESCE(o.seq, 0), COALESCE(o.priority, 0), COALESCE(o.ready_at, 0)
		FROM active a LEFT JOIN tenants t ON t.id = a.tenant LEFT JOIN shares s ON s.tenant = a.tenant
		LEFT JOIN jobs o ON o.seq = (SELECT j.seq FROM jobs j WHERE j.tenant = a.tenant AND j.state = 'pending' AND j.delayed = 0
			ORDER BY j.ready_at, j.seq LIMIT 1)
		WHERE a.tenant IS NOT NULL`
	// A class is a range of one, as in sqlLaneAhead.
	sqlHead = `COALESCE((SELECT j.seq FROM jobs j WHERE j.tenant = a.tenant AND j.state = 'pending' AND j.delayed = 0 AND `

	sqlShares  = sqlActive + sqlShare
	sqlShareOf = sqlOne + sqlShare
)

func scanShare(scan func(...any) error) (s admission.Share, err error) {
	var paused int
	var since int64
	err = scan(&s.Tenant, &s.Weight, &s.Limit, &paused, &s.Running,
		&s.Served[0], &s.Served[1], &s.Served[2], &s.Served[3], &s.Head[0], &s.Head[1], &s.Head[2], &s.Head[3],
		&s.Oldest.Seq, &s.Oldest.Class, &since)
	s.Paused = paused != 0
	s.Oldest.Since = time.UnixMicro(since).UTC()
	return s, err
}

// admittance is the claim policy at work within one update.
type admittance struct {
	t      *tx
	policy admission.Policy
	state  admission.State
	n      int // how many the claim may take
	ahead  ahead
	lend   func([]row) ([]dispatch.Lease, error)

	chosen  []row // not lent yet
	leases  []dispatch.Lease
	touched map[int]bool // shares that were served
	misses  int
}

func (t *tx) admit(p admission.Policy, n int, lend func([]row) ([]dispatch.Lease, error)) (*admittance, error) {
	a := &admittance{t: t, policy: p, n: n, ahead: newAhead(), lend: lend, touched: map[int]bool{}}
	if err := t.w.flushJobs(); err != nil {
		return nil, err
	}
	v := &a.state.Virtual
	_, err := t.w.pipe(
		statement{sql: sqlScheduler, row: func(scan func(...any) error) error { return scan(&a.state.Turn, &v[0], &v[1], &v[2], &v[3]) }},
		statement{sql: sqlShares, row: func(scan func(...any) error) error {
			s, err := scanShare(scan)
			a.state.Shares = append(a.state.Shares, s)
			return err
		}})
	return a, err
}

// maxMisses is how many jobs a claim may find changed under its eyes before it
// leaves the rest to the next one.
const maxMisses = 20

// claim lends jobs and books them. The policy decides on each in memory:
// what it needs to know behind the heads is read some jobs at a time, and those
// that it chose are written together.
func (a *admittance) claim() ([]dispatch.Lease, error) {
	for a.misses < maxMisses {
		room := a.n - len(a.leases) - len(a.chosen)
		if room <= 0 {
			break
		}
		c, ok := a.policy.Next(&a.state, a.t.now)
		if !ok {
			break
		}
		r, found, err := a.pick(c, room)
		switch {
		case err != nil:
			return nil, err
		case !found:
			continue
		case r.Host != "":
			err = a.startOnHost(c, r)
		default:
			a.policy.Take(&a.state, c)
			a.touched[c.Share] = true
			a.chosen = append(a.chosen, r)
			err = a.drop(c, room-1)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := a.write(); err != nil {
		return nil, err
	}
	a.save()
	return a.leases, nil
}

// pick returns the job of a choice, and holds it. Where several nodes write, it may
// have been cancelled or paused between the look at the heads and the lock on its
// row: then it is none of ours, and the heads are corrected.
func (a *admittance) pick(c admission.Choice, room int) (r row, found bool, err error) {
	if !c.Aged {
		l, err := a.front(lane{c.Share, c.Class}, room)
		if err != nil || len(l.rows) == 0 || l.rows[0].Seq != c.Seq {
			return row{}, false, err
		}
		return l.rows[0], true, nil
	}
	r, found, err = a.t.find(`state = 'pending' AND delayed = 0 AND seq = $1`, c.Seq)
	if err == nil && !found {
		a.misses++
		err = a.drop(c, room)
	}
	return r, found, err
}

// drop takes a job that was chosen, or is gone, from what is ahead.
func (a *admittance) drop(c admission.Choice, room int) error {
	a.ahead.taken[c.Seq] = true
	if room == 0 {
		return nil
	}
	if a.state.Shares[c.Share].Head[c.Class] == c.Seq {
		if _, err := a.front(lane{c.Share, c.Class}, room); err != nil {
			return err
		}
	}
	return a.eldest(c.Share)
}

// write lends what was chosen.
func (a *admittance) write() error {
	leases, err := a.lend(a.chosen)
	a.leases, a.chosen = append(a.leases, leases...), nil
	return err
}

// startOnHost starts a job whose host is known, if it gets a slot there. That
// changes which jobs of all tenants are ready, so what was chosen before is written
// first, and all is read again behind it.
func (a *admittance) startOnHost(c admission.Choice, r row) error {
	if err := a.write(); err != nil {
		return err
	}
	ok, err := a.t.reserve(&r)
	if err != nil {
		return err
	}
	if ok {
		a.policy.Take(&a.state, c)
		a.touched[c.Share] = true
		a.chosen = append(a.chosen, r)
		if err := a.write(); err != nil {
			return err
		}
	} else {
		a.misses++
	}
	return a.refresh()
}

// refresh looks for the heads of all tenants again.
func (a *admittance) refresh() error {
	a.ahead = newAhead()
	if err := a.t.w.flushJobs(); err != nil {
		return err
	}
	var found []admission.Share
	_, err := a.t.w.pipe(statement{sql: sqlShares, row: func(scan func(...any) error) error {
		s, err := scanShare(scan)
		found = append(found, s)
		return err
	}})
	heads := make(map[string]*admission.Share, len(found))
	for i := range found {
		heads[found[i].Tenant] = &found[i]
	}
	for i := range a.state.Shares {
		s := &a.state.Shares[i]
		if f := heads[s.Tenant]; f != nil {
			s.Head, s.Oldest = f.Head, f.Oldest
			delete(heads, s.Tenant)
		} else {
			s.Head, s.Oldest = [admission.Classes]int64{}, admission.Ready{}
		}
	}
	return err
}

// save stores the accounts of the tenants that were served.
func (a *admittance) save() {
	if len(a.touched) == 0 {
		return
	}
	v := a.state.Virtual
	a.t.later(`UPDATE scheduler SET turn = $1, critical = $2, high = $3, normal = $4, low = $5 WHERE id = 1`,
		a.state.Turn, v[0], v[1], v[2], v[3])
	for _, i := range slices.Sorted(maps.Keys(a.touched)) {
		s := a.state.Shares[i]
		a.t.later(`INSERT INTO shares (tenant, critical, high, normal, low) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant) DO UPDATE SET critical = excluded.critical, high = excluded.high, normal = excluded.normal, low = excluded.low`,
			s.Tenant, s.Served[0], s.Served[1], s.Served[2], s.Served[3])
	}
}

package store

import (
	"database/sql"
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
		SELECT MIN(tenant) FROM jobs WHERE state = 'pending' AND delayed = 0
		UNION ALL
		SELECT (SELECT MIN(j.tenant) FROM jobs j WHERE j.state = 'pending' AND j.delayed = 0 AND j.tenant > a.tenant)
		FROM active a WHERE a.tenant IS NOT NULL)`
	sqlOne = `WITH active(tenant) AS (SELECT CAST($1 AS TEXT))`

	sqlShare = ` SELECT a.tenant, COALESCE(t.weight, 1), COALESCE(t.max_concurrent_jobs, 0), COALESCE(t.paused, 0),
		(SELECT COUNT(*) FROM jobs j WHERE j.tenant = a.tenant AND j.lease_until IS NOT NULL),
		COALESCE(s.critical, 0), COALESCE(s.high, 0), COALESCE(s.normal, 0), COALESCE(s.low, 0), ` +
		sqlHead + `0 ORDER BY j.seq LIMIT 1), 0), ` + sqlHead + `1 ORDER BY j.seq LIMIT 1), 0), ` +
		sqlHead + `2 ORDER BY j.seq LIMIT 1), 0), ` + sqlHead + `3 ORDER BY j.seq LIMIT 1), 0),
		COALESCE(o.seq, 0), COALESCE(o.priority, 0), COALESCE(o.ready_at, 0)
		FROM active a LEFT JOIN tenants t ON t.id = a.tenant LEFT JOIN shares s ON s.tenant = a.tenant
		LEFT JOIN jobs o ON o.seq = (SELECT j.seq FROM jobs j WHERE j.tenant = a.tenant AND j.state = 'pending' AND j.delayed = 0
			ORDER BY j.ready_at, j.seq LIMIT 1)
		WHERE a.tenant IS NOT NULL`
	sqlHead = `COALESCE((SELECT j.seq FROM jobs j WHERE j.tenant = a.tenant AND j.state = 'pending' AND j.delayed = 0 AND j.priority = `

	sqlShares  = sqlActive + sqlShare
	sqlShareOf = sqlOne + sqlShare
)

func scanShare(rows *sql.Rows) (s admission.Share, err error) {
	var paused int
	var since int64
	err = rows.Scan(&s.Tenant, &s.Weight, &s.Limit, &paused, &s.Running,
		&s.Served[0], &s.Served[1], &s.Served[2], &s.Served[3], &s.Head[0], &s.Head[1], &s.Head[2], &s.Head[3],
		&s.Oldest.Seq, &s.Oldest.Class, &since)
	s.Paused = paused != 0
	s.Oldest.Since = time.UnixMicro(since).UTC()
	return s, err
}

// shares runs a query for admission.Share.
func (t *tx) shares(query string, args ...any) ([]admission.Share, error) {
	if err := t.w.flushJobs(); err != nil {
		return nil, err
	}
	s, err := t.w.stmt(query) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, args...)
	return scanAll(rows, err, scanShare)
}

// admittance is the claim policy at work within one update.
type admittance struct {
	t      *tx
	policy admission.Policy
	state  admission.State
}

func (t *tx) admit(p admission.Policy) (*admittance, error) {
	a := &admittance{t: t, policy: p}
	v := &a.state.Virtual
	_, err := t.row(sqlScheduler, nil, &a.state.Turn, &v[0], &v[1], &v[2], &v[3])
	if err != nil {
		return nil, err
	}
	a.state.Shares, err = t.shares(sqlShares)
	return a, err
}

// maxMisses is how many jobs a claim may find changed under its eyes before it
// leaves the rest to the next one.
const maxMisses = 20

// claim starts up to n jobs and books them. Where several nodes write, a job may
// be cancelled or paused between the look at the heads and the lock on its row:
// then it is none of ours.
func (a *admittance) claim(n int, start func(row) (dispatch.Lease, error)) ([]dispatch.Lease, error) {
	var leases []dispatch.Lease
	touched := map[int]bool{}
	for misses := 0; len(leases) < n && misses < maxMisses; {
		c, ok := a.policy.Next(&a.state, a.t.now)
		if !ok {
			break
		}
		r, found, err := a.t.find(`state = 'pending' AND delayed = 0 AND seq = $1`, c.Seq)
		if err != nil {
			return nil, err
		}
		known := found && r.Host != ""
		if found {
			if found, err = a.t.reserve(&r); err != nil {
				return nil, err
			}
		}
		if found {
			a.policy.Take(&a.state, c)
			touched[c.Share] = true
			l, err := start(r)
			if err != nil {
				return nil, err
			}
			leases = append(leases, l)
		} else {
			misses++
		}
		if known { // the host may be full: that is to be seen by all tenants
			err = a.refreshAll()
		} else {
			err = a.refresh(&a.state.Shares[c.Share])
		}
		if err != nil {
			return nil, err
		}
	}
	return leases, a.save(touched)
}

func (a *admittance) refreshAll() error {
	for i := range a.state.Shares {
		if err := a.refresh(&a.state.Shares[i]); err != nil {
			return err
		}
	}
	return nil
}

// refresh looks for the heads of a tenant again.
func (a *admittance) refresh(s *admission.Share) error {
	found, err := a.t.shares(sqlShareOf, s.Tenant)
	for i := range found {
		s.Head, s.Oldest = found[i].Head, found[i].Oldest
	}
	return err
}

// save stores the accounts of the tenants that were served.
func (a *admittance) save(touched map[int]bool) error {
	if len(touched) == 0 {
		return nil
	}
	v := a.state.Virtual
	if _, err := a.t.execAside(`UPDATE scheduler SET turn = $1, critical = $2, high = $3, normal = $4, low = $5 WHERE id = 1`,
		a.state.Turn, v[0], v[1], v[2], v[3]); err != nil {
		return err
	}
	for i := range touched {
		s := a.state.Shares[i]
		if _, err := a.t.execAside(`INSERT INTO shares (tenant, critical, high, normal, low) VALUES ($1, $2, $3, $4, $5)
			ON CONFLICT (tenant) DO UPDATE SET critical = excluded.critical, high = excluded.high, normal = excluded.normal, low = excluded.low`,
			s.Tenant, s.Served[0], s.Served[1], s.Served[2], s.Served[3]); err != nil {
			return err
		}
	}
	return nil
}

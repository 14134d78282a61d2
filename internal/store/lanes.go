package store

import (
	"database/sql"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
)

// What a claim reads behind the heads. A class is given as a range of one: by an
// equation PostgreSQL would take any index in the order of seq for as good, and
// look through the whole table for a class that has no job.
const (
	sqlLaneAhead = `SELECT ` + wholeColumns + ` FROM jobs WHERE tenant = $1 AND state = 'pending' AND delayed = 0
		AND priority >= $2 AND priority <= $2 AND seq > $3 ORDER BY priority, seq LIMIT $4 /*! FOR UPDATE */`
	sqlAgesAhead = `SELECT seq, priority, ready_at FROM jobs WHERE tenant = $1 AND state = 'pending' AND delayed = 0
		ORDER BY ready_at, seq LIMIT $2`
)

// lane is a tenant's class; the tenant is an index of State.Shares.
type lane struct{ share, class int }

// stock is what a claim has read of a lane, and holds: nobody changes these jobs
// before it ends.
type stock struct {
	rows []row
	last int64 // how far the lane was read
	more bool  // there may be more behind it
}

// ahead is what one claim has read and chosen. As long as that is not written, the
// database shows it as it was.
type ahead struct {
	lanes map[lane]*stock
	ages  map[int][]admission.Ready // those that wait longest, by share
	taken map[int64]bool            // by seq: chosen, or found to be gone
}

func newAhead() ahead {
	return ahead{lanes: map[lane]*stock{}, ages: map[int][]admission.Ready{}, taken: map[int64]bool{}}
}

// front brings the first job of a lane that is not taken to the front of its stock,
// if there is one, and corrects the head. room is how many more jobs the claim has
// room for.
func (a *admittance) front(k lane, room int) (*stock, error) {
	l := a.ahead.lanes[k]
	if l == nil {
		l = &stock{more: true}
		a.ahead.lanes[k] = l
	}
	l.skip(a.ahead.taken)
	for len(l.rows) == 0 && l.more {
		if err := a.read(k, l, room); err != nil {
			return nil, err
		}
		l.skip(a.ahead.taken)
	}
	head := &a.state.Shares[k.share].Head[k.class]
	*head = 0
	if len(l.rows) > 0 {
		*head = l.rows[0].Seq
	}
	return l, nil
}

func (l *stock) skip(taken map[int64]bool) {
	for len(l.rows) > 0 && taken[l.rows[0].Seq] {
		l.rows = l.rows[1:]
	}
}

// read reads on in a lane: as far as one tenant alone may get, or its part if there
// are others.
func (a *admittance) read(k lane, l *stock, room int) (err error) {
	open := 0
	for i := range a.state.Shares {
		if a.state.Shares[i].Open() {
			open++
		}
	}
	limit := max(min(room, 8), room/max(1, open))
	l.rows, err = a.t.rows(sqlLaneAhead, a.state.Shares[k.share].Tenant, k.class, l.last, limit)
	if n := len(l.rows); n > 0 {
		l.last = l.rows[n-1].Seq
	}
	l.more = len(l.rows) == limit
	return err
}

// eldest corrects which job of a tenant waits longest.
func (a *admittance) eldest(share int) (err error) {
	s := &a.state.Shares[share]
	if !a.ahead.taken[s.Oldest.Seq] {
		return nil
	}
	if s.Oldest.Since.After(a.t.now.Add(-a.policy.AgeAfter)) {
		s.Oldest = admission.Ready{} // the next one is no older, and only age counts
		return nil
	}
	list, known := a.ahead.ages[share]
	if !known {
		if list, err = a.t.ages(s.Tenant, a.n+maxMisses+1); err != nil {
			return err
		}
	}
	for len(list) > 0 && a.ahead.taken[list[0].Seq] {
		list = list[1:]
	}
	a.ahead.ages[share] = list
	s.Oldest = admission.Ready{}
	if len(list) > 0 {
		s.Oldest = list[0]
	}
	return nil
}

// ages returns the first jobs of a tenant by the time that they wait.
func (t *tx) ages(tenant string, limit int) ([]admission.Ready, error) {
	s, err := t.w.stmt(sqlAgesAhead) //nolint:sqlclosecheck // the writer keeps it
	if err != nil {
		return nil, err
	}
	rows, err := s.QueryContext(t.w.ctx, tenant, limit)
	return scanAll(rows, err, func(rows *sql.Rows) (r admission.Ready, err error) {
		var since int64
		err = rows.Scan(&r.Seq, &r.Class, &since)
		r.Since = time.UnixMicro(since).UTC()
		return r, err
	})
}

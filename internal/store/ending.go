package store

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
)

// ending is a change that a lease's holder makes. Those that wait at the same time
// are carried out together, by as many statements as one of them takes.
type ending struct {
	lease  dispatch.Lease
	change job.Change
	job    job.Job // as it is then
}

// Apply implements dispatch.Queue.
func (s *Store) Apply(ctx context.Context, l dispatch.Lease, c job.Change) (job.Job, error) {
	e := &ending{lease: l, change: c}
	err := s.w.finish(ctx, e)
	return e.job, err
}

// holds tells whether the lease is still the newest. As to the node, see fenced.
func (e *ending) holds(r *row) bool {
	return r.Epoch == e.lease.Job.Epoch && r.Node == e.lease.Job.Node && r.leaseUntil.Valid
}

// apply carries out one ending.
func (e *ending) apply(t *tx) error {
	r, found, err := t.find(`id = $1`, e.lease.Job.ID)
	if err != nil {
		return err
	}
	if !found || !e.holds(&r) {
		return errStale(e.lease.Job.ID)
	}
	e.job, _, err = t.apply(r, e.change)
	return err
}

// endAll carries out the endings among the requests. The error of one is kept in
// its request, and nothing of that one is written; the returned one ends the batch.
func (w *writer) endAll(ran []*request) error {
	waiting := make(map[string]*request, len(ran))
	var ids []string
	for _, r := range ran {
		switch {
		case r.ending == nil:
		case waiting[r.ending.lease.Job.ID] != nil: // twice the same job: one after the other
			if err := w.one(r); err != nil {
				return err
			}
		default:
			waiting[r.ending.lease.Job.ID] = r
			ids = append(ids, r.ending.lease.Job.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	t := w.begun()
	return protect(func(t *tx) error { return t.endAll(ids, waiting) }, t)
}

func (t *tx) endAll(ids []string, waiting map[string]*request) error {
	rows, err := t.findAll(ids)
	if err != nil {
		return err
	}
	moves := make([]*move, 0, len(rows))
	for _, r := range rows {
		if e := waiting[r.ID].ending; e.holds(&r) {
			moves = append(moves, &move{row: r, change: e.change})
		}
	}
	for id, r := range waiting {
		r.err = errStale(id)
	}
	if err := t.applyAll(moves); err != nil {
		return err
	}
	topics := t.topics // of all of them
	for _, m := range moves {
		r := waiting[m.ID]
		if r.ending.job, r.err = m.Job, m.err; r.err == nil {
			r.topics, topics = topics, nil
		}
	}
	return nil
}

package service

import (
	"context"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// BulkAction is what a bulk request does to each job.
type BulkAction string

// The actions.
const (
	BulkCancel   BulkAction = "cancel"
	BulkRetry    BulkAction = "retry"
	BulkPriority BulkAction = "priority"
	BulkPause    BulkAction = "pause"
	BulkResume   BulkAction = "resume"
)

// takes are the states of the jobs that an action is for.
var takes = map[BulkAction][]job.State{
	BulkCancel:   {job.Pending, job.Running},
	BulkRetry:    {job.Failed, job.Cancelled},
	BulkPriority: {job.Pending},
	BulkPause:    {job.Pending},
	BulkResume:   {job.Pending},
}

// Bulk is one action for all jobs that match.
type Bulk struct {
	Action   BulkAction
	Filter   Query        // without Limit and Cursor; not empty
	Priority job.Priority // of BulkPriority
	Reason   string       // of BulkCancel and BulkPause
	DryRun   bool         // count only
}

// BulkResult tells what a bulk request did.
type BulkResult struct {
	Matched   int64 // jobs that match and that the action is for
	More      bool  // there are more than MaxBulk: ask again for the rest
	Changed   int
	Unchanged int // it was so before
	Failed    int
	Errors    []BulkError // the first MaxBulkErrors
}

// BulkError is why a job was not changed.
type BulkError struct {
	JobID string
	Error error
}

// Limits of a bulk request.
const (
	MaxBulk       = CountLimit // jobs
	MaxBulkErrors = 100
	bulkBatch     = 200 // jobs that are changed in one transaction
)

// Bulk changes the jobs that match the filter, newest first and at most MaxBulk
// of them, in transactions of some hundred: when it fails half-way, what it did
// stays, and it may be asked again. Of the jobs that match it takes those in a
// state that the action is for. With DryRun it only counts.
func (s *Service) Bulk(ctx context.Context, p tenant.Principal, b Bulk) (BulkResult, error) {
	need := tenant.JobUpdate
	if b.Action == BulkCancel {
		need = tenant.JobCancel
	}
	scope, err := p.Scope(need)
	if err != nil {
		return BulkResult{}, err
	}
	if err := b.check(); err != nil {
		return BulkResult{}, err
	}
	q := b.Filter
	if q.States = b.states(); len(q.States) == 0 {
		return BulkResult{}, nil
	}
	reader := s.store.Reader(scope)
	if b.DryRun {
		return matching(ctx, reader, q)
	}
	var done bulkDone
	_, err = once(ctx, s.repeats, p, request{operation: "bulk_jobs", of: b, steps: true}, &done, func(o *tenant.Once) error {
		return s.bulk(ctx, scope, reader, b, q, o, &done)
	})
	return done.open(), err
}

// matching counts what a bulk request is for.
func matching(ctx context.Context, reader Reader, q Query) (r BulkResult, err error) {
	r.Matched, err = reader.Count(ctx, q, MaxBulk+1)
	if r.Matched > MaxBulk {
		r.Matched, r.More = MaxBulk, true
	}
	return r, err
}

// bulkDone is how far a bulk request got.
type bulkDone struct {
	Result BulkResult // without Errors
	Errors []notDone
	Before int64 // the last job that was looked at
	Left   int64 // jobs to look at
}

// notDone is a job that something did not happen to.
type notDone struct {
	JobID string
	Error *job.Failure
}

func (d *bulkDone) open() BulkResult {
	r := d.Result
	for _, e := range d.Errors {
		r.Errors = append(r.Errors, BulkError{JobID: e.JobID, Error: e.Error.Err("")})
	}
	return r
}

// bulk goes on where done ends, in transactions of some hundred jobs. The last one
// may be empty.
func (s *Service) bulk(ctx context.Context, scope tenant.Scope, reader Reader, b Bulk, q Query, o *tenant.Once, done *bulkDone) (err error) {
	if o == nil || o.Steps == 0 {
		if done.Result, err = matching(ctx, reader, q); err != nil {
			return err
		}
		done.Left = done.Result.Matched
	}
	for first := true; first || done.Left > 0; first = false {
		var jobs []job.Job
		if q.Limit = int(min(done.Left, bulkBatch)); q.Limit > 0 {
			if jobs, err = reader.Jobs(ctx, q, done.Before); err != nil {
				return err
			}
		}
		if err := s.bulkBatch(ctx, scope, b, jobs, o, done); err != nil || o != nil && o.Found != nil {
			return err
		}
	}
	return nil
}

// bulkBatch changes some jobs in one transaction.
func (s *Service) bulkBatch(ctx context.Context, scope tenant.Scope, b Bulk, jobs []job.Job, o *tenant.Once, done *bulkDone) error {
	if o == nil && len(jobs) == 0 {
		done.Left = 0
		return nil
	}
	was, before := *done, *done
	before.Left -= int64(len(jobs))
	if len(jobs) == 0 {
		before.Left = 0 // there are fewer by now
	} else {
		before.Before = jobs[len(jobs)-1].Seq
	}
	if o != nil {
		o.More = before.Left > 0
	}
	var cancelled []job.Job
	err := s.store.Update(ctx, scope.Under(o), func(tx Tx) (err error) {
		*done = before
		cancelled, err = done.change(tx, b, jobs)
		return err
	})
	if err != nil {
		*done = was
		return err
	}
	if o != nil {
		o.Steps++
	}
	if h := s.deps.Hooks.Cancelled; h != nil {
		for _, j := range cancelled {
			h(j)
		}
	}
	return nil
}

// change changes the jobs and counts. It returns those that it cancelled before
// they began.
func (d *bulkDone) change(tx Tx, b Bulk, jobs []job.Job) (cancelled []job.Job, _ error) {
	for i := range jobs {
		j, changed, err := b.do(tx, jobs[i].ID)
		switch {
		case fault.Is(err, fault.Conflict), fault.Is(err, fault.NotFound):
			if d.Result.Failed++; len(d.Errors) < MaxBulkErrors {
				d.Errors = append(slices.Clip(d.Errors), notDone{jobs[i].ID, job.FailureOf(err)})
			}
		case err != nil:
			return nil, err
		case changed:
			d.Result.Changed++
			if b.Action == BulkCancel && j.State == job.Cancelled {
				cancelled = append(cancelled, j)
			}
		default:
			d.Result.Unchanged++
		}
	}
	return cancelled, nil
}

func (b Bulk) do(tx Tx, id string) (job.Job, bool, error) {
	switch b.Action {
	case BulkCancel:
		return tx.Cancel(id, b.Reason)
	case BulkRetry:
		return tx.Change(id, job.RestartBy(""))
	case BulkPriority:
		return tx.Change(id, job.PrioritizeBy("", b.Priority))
	case BulkPause:
		return tx.Change(id, job.PauseBy("", b.Reason))
	default:
		return tx.Change(id, job.ResumeBy(""))
	}
}

// states are those that are asked for and that the action is for.
func (b Bulk) states() []job.State {
	if len(b.Filter.States) == 0 {
		return takes[b.Action]
	}
	var states []job.State
	for _, s := range takes[b.Action] {
		if slices.Contains(b.Filter.States, s) {
			states = append(states, s)
		}
	}
	return states
}

func (b Bulk) check() error {
	f := b.Filter
	if _, ok := takes[b.Action]; !ok {
		return fault.Newf(fault.Invalid, "HX-JOB-026", "one of cancel, retry, priority, pause, resume", "%.50q is no action", b.Action)
	}
	if len(f.IDs)+len(f.States)+len(f.Priorities) == 0 && f.VM == "" && f.Since.IsZero() && f.Until.IsZero() {
		return fault.New(fault.Invalid, "HX-JOB-027", "the filter is empty: that would be all jobs",
			"give the status if you mean all jobs of it")
	}
	if b.Action == BulkPriority {
		if err := checkPriority(b.Priority); err != nil {
			return err
		}
	} else if b.Priority != "" {
		return fault.Newf(fault.Invalid, "HX-JOB-028", "leave it out, or use the action priority", "the action %s takes no priority", b.Action)
	}
	if err := checkReason(b.Reason); err != nil {
		return err
	}
	f.Limit = 1
	return f.check()
}

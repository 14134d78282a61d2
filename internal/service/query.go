package service

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Query selects jobs; empty fields select all. Slices are alternatives, fields
// are cumulative.
type Query struct {
	IDs        []string
	States     []job.State
	Priorities []job.Priority
	// VM is an inventory path or a VM's name, without regard to case; * stands
	// for any text and ? for one character.
	VM     string
	Since  time.Time // submitted at or after
	Until  time.Time // submitted before
	Limit  int       // 1 to MaxLimit; 0: DefaultLimit
	Cursor string    // NextCursor of the page before
}

// Limits of a page.
const (
	DefaultLimit = 50
	MaxLimit     = 1000
)

// CountLimit is where counting for Page.Total stops.
const CountLimit = 10_000

// Page is one page of jobs, newest first.
type Page struct {
	Jobs       []job.Job
	Total      int64  // jobs that match, on all pages
	AtLeast    bool   // counting stopped at CountLimit: there are more than Total
	NextCursor string // empty: the last page
}

// Get returns one job as it is now.
func (s *Service) Get(ctx context.Context, p tenant.Principal, id string) (job.Job, error) {
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return job.Job{}, err
	}
	j, err := s.store.Reader(scope).Job(ctx, id)
	j.Spec = j.Spec.Shown()
	return j, err
}

// Query returns one page of the jobs that match. A page shows the state of one
// instant; jobs submitted while paging are on no later page. Kind Invalid for a
// limit or a cursor that is none.
func (s *Service) Query(ctx context.Context, p tenant.Principal, q Query) (Page, error) {
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return Page{}, err
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if err := q.check(); err != nil {
		return Page{}, err
	}
	before, err := decodeCursor(q.Cursor)
	if err != nil {
		return Page{}, err
	}
	reader := s.store.Reader(scope)
	limit := q.Limit
	q.Limit++ // one more tells whether there is a next page
	jobs, err := reader.Jobs(ctx, q, before)
	if err != nil {
		return Page{}, err
	}
	for i := range jobs {
		jobs[i].Spec = jobs[i].Spec.Shown()
	}
	page := Page{Jobs: jobs}
	if len(jobs) > limit {
		page.Jobs = jobs[:limit]
		page.NextCursor = encodeCursor(page.Jobs[limit-1].Seq)
	}
	page.Total, err = reader.Count(ctx, q, CountLimit+1)
	if page.Total > CountLimit {
		page.Total, page.AtLeast = CountLimit, true
	}
	return page, err
}

// Receipt returns the proof that a completed job left. Kind Conflict if the job
// has not completed.
func (s *Service) Receipt(ctx context.Context, p tenant.Principal, id string) (json.RawMessage, error) {
	j, err := s.Get(ctx, p, id)
	if err != nil {
		return nil, err
	}
	if len(j.Receipt) == 0 {
		return nil, fault.Newf(fault.Conflict, "HX-JOB-020", "a receipt is written when the job completes",
			"job %s is %s and has no receipt", id, j.State)
	}
	return j.Receipt, nil
}

func (q Query) check() error {
	if q.Limit < 1 || q.Limit > MaxLimit {
		return fault.Newf(fault.Invalid, "HX-JOB-021", "leave it out for the default",
			"limit must be between 1 and %d", MaxLimit)
	}
	if len(q.IDs) > MaxLimit {
		return fault.Newf(fault.Invalid, "HX-JOB-022", "ask in parts", "at most %d job ids at once", MaxLimit)
	}
	for _, st := range q.States {
		if !st.Valid() {
			return fault.Newf(fault.Invalid, "HX-JOB-023", "one of "+job.StateNames(), "%q is no status", st)
		}
	}
	for _, pr := range q.Priorities {
		if err := checkPriority(pr); err != nil {
			return err
		}
	}
	return nil
}

// A cursor is the Seq of the last job of a page; clients must not look inside.
func encodeCursor(seq int64) string {
	return base64.RawURLEncoding.EncodeToString(binary.AppendUvarint(nil, uint64(seq)))
}

func decodeCursor(cursor string) (int64, error) {
	if cursor == "" {
		return 0, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	seq, n := binary.Uvarint(raw)
	if err != nil || n <= 0 || n != len(raw) || seq == 0 || seq > 1<<62 {
		return 0, fault.New(fault.Invalid, "HX-JOB-025", "the cursor is none that this API gave out", "start without a cursor")
	}
	return int64(seq), nil
}

// CursorOf is the cursor of the page that begins after a job of a page.
func CursorOf(j job.Job) string { return encodeCursor(j.Seq) }

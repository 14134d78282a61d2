package service

import (
	"context"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// LogQuery selects events of the tenant's log; empty fields select all. Slices are
// alternatives, fields and labels are cumulative.
type LogQuery struct {
	// After is the Pos of the last event that was seen: the stream goes on behind
	// it. nil: at the end of the log.
	After    *int64
	Kinds    []string // job.completed, or job.* for all that begin so
	Jobs     []string
	Labels   map[string]string // of the job
	Progress bool              // the progress of running jobs, too
	Once     bool              // end where the log ended at the call
}

// Bounds of a LogQuery.
const (
	maxLogFilter = 100 // values in one field
	logPage      = 200
	// maxLogJobs is how many jobs a stream remembers, and how many of those that
	// run it shows the progress of.
	maxLogJobs = 1000
)

// LogUpdate is one element of a stream: an event, the progress of a job, or
// neither. Pos is behind what the stream has told so far: to come back later, give
// it as After.
type LogUpdate struct {
	Pos      int64
	Event    *event.Event
	JobID    string
	Progress *job.Progress
}

// Log streams the tenant's events in the order of the log, none left out or
// repeated. The first element, and one at least every KeepAlive, hold a Pos only.
// Events about jobs take the right to read jobs; others take the right to read
// what they are about. It ends with the error that stopped it (the cause of ctx
// included). Kinds of the call: Invalid, Conflict (the log has no such Pos).
func (s *Service) Log(ctx context.Context, p tenant.Principal, q LogQuery) (iter.Seq2[LogUpdate, error], error) {
	scope, err := p.Scope(tenant.JobRead)
	if err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	reader := s.store.Reader(scope)
	end, err := reader.LogSize(ctx)
	if err != nil {
		return nil, err
	}
	start := end
	if q.After != nil {
		if start = *q.After; start > end {
			return nil, fault.Newf(fault.Conflict, "HX-EVENT-002", "it is of another log: start without it", "the log has no place %d: it ends at %d", start, end)
		}
	}
	return func(yield func(LogUpdate, error) bool) {
		wake, stop := s.deps.Feed.Watch(event.Log)
		defer stop()
		l := logStream{q: q, p: p, reader: reader, pos: start, end: end, yield: yield, jobs: map[string]bool{}, seen: map[string]time.Time{}}
		l.run(ctx, wake)
	}, nil
}

func (q *LogQuery) check() error {
	if len(q.Kinds) > maxLogFilter || len(q.Jobs) > maxLogFilter || len(q.Labels) > maxLogFilter {
		return fault.Newf(fault.Invalid, "HX-EVENT-001", "follow all, and choose by yourself", "a filter holds more than %d values", maxLogFilter)
	}
	if q.After != nil && *q.After < 0 {
		return fault.New(fault.Invalid, "HX-EVENT-003", "a place in the log is not negative", "leave it out to begin at the end")
	}
	return nil
}

// logStream is the position of one reader of the log.
type logStream struct {
	q      LogQuery
	p      tenant.Principal
	reader Reader
	pos    int64
	end    int64 // of a stream that goes on once
	yield  func(LogUpdate, error) bool
	jobs   map[string]bool      // whether a job has the labels
	seen   map[string]time.Time // UpdatedAt of the progress that was told last
}

func (l *logStream) run(ctx context.Context, wake <-chan struct{}) {
	silent := time.Duration(0)
	for ok := l.yield(LogUpdate{Pos: l.pos}, nil); ok; {
		told, err := l.advance(ctx)
		switch {
		case err != nil:
			l.yield(LogUpdate{}, err)
			return
		case told == stopped, l.q.Once && l.pos >= l.end:
			return
		case told == spoke:
			silent = 0
		case silent >= KeepAlive:
			silent = 0
			if !l.yield(LogUpdate{Pos: l.pos}, nil) {
				return
			}
		}
		select {
		case <-ctx.Done():
			l.yield(LogUpdate{}, context.Cause(ctx))
			return
		case <-wake:
		case <-time.After(pollEvery):
			silent += pollEvery
		}
	}
}

// What advance did.
const (
	silence = iota
	spoke
	stopped // the reader wants no more
)

// advance tells all that is new.
func (l *logStream) advance(ctx context.Context) (did int, err error) {
	for {
		page, err := l.reader.Log(ctx, l.pos, logPage)
		if err != nil {
			return did, err
		}
		if err := l.look(ctx, page); err != nil {
			return did, err
		}
		for i := range page {
			e := &page[i]
			if l.q.Once && e.Pos > l.end {
				l.pos = l.end
				return did, nil
			}
			l.pos = e.Pos
			if !l.wants(e) {
				continue
			}
			did = spoke
			if !l.yield(LogUpdate{Pos: e.Pos, Event: e}, nil) {
				return stopped, nil
			}
		}
		if len(page) < logPage {
			break
		}
	}
	if l.q.Once { // what other tenants have behind it is no event of this one
		l.pos = l.end
	}
	if !l.q.Progress {
		return did, nil
	}
	return l.progress(ctx, did)
}

// wants tells whether an event is selected, and may be seen.
func (l *logStream) wants(e *event.Event) bool {
	if !l.maySee(e) || len(l.q.Kinds) > 0 && !slices.ContainsFunc(l.q.Kinds, func(k string) bool { return matches(k, string(e.Kind)) }) {
		return false
	}
	return l.wantsJob(e.JobID)
}

func (l *logStream) wantsJob(id string) bool {
	return (len(l.q.Jobs) == 0 || slices.Contains(l.q.Jobs, id)) && (len(l.q.Labels) == 0 || l.jobs[id])
}

func matches(pattern, kind string) bool {
	prefix, open := strings.CutSuffix(pattern, "*")
	return pattern == kind || open && strings.HasPrefix(kind, prefix)
}

// maySee: who may read jobs need not see who manages keys.
func (l *logStream) maySee(e *event.Event) bool {
	need := tenant.TenantRead
	switch kind, _, _ := strings.Cut(string(e.Kind), "."); {
	case e.JobID != "":
		return true
	case kind == "schedule":
		need = tenant.ScheduleRead
	case kind == "key":
		need = tenant.KeyRead
	}
	_, err := l.p.Scope(need)
	return err == nil
}

// look finds out which jobs of a page have the labels.
func (l *logStream) look(ctx context.Context, page []event.Event) error {
	if len(l.q.Labels) == 0 {
		return nil
	}
	if len(l.jobs) > maxLogJobs {
		clear(l.jobs)
	}
	var ids []string
	for i := range page {
		id := page[i].JobID
		if _, known := l.jobs[id]; !known {
			l.jobs[id] = false // a job that is forgotten has no labels
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, err := l.reader.Jobs(ctx, Query{IDs: ids, Limit: len(ids)}, 0)
	for i := range found {
		l.note(&found[i])
	}
	return err
}

func (l *logStream) note(j *job.Job) {
	has := true
	for name, v := range l.q.Labels {
		got, there := j.Spec.Labels[name]
		has = has && there && got == v
	}
	l.jobs[j.ID] = has
}

// progress tells the newest progress of the jobs that run.
func (l *logStream) progress(ctx context.Context, did int) (int, error) {
	running, err := l.reader.Jobs(ctx, Query{States: []job.State{job.Running}, IDs: l.q.Jobs, Limit: maxLogJobs}, 0)
	if err != nil {
		return did, err
	}
	seen := make(map[string]time.Time, len(running))
	for i := range running {
		j := &running[i]
		if len(l.q.Labels) > 0 {
			l.note(j)
		}
		if j.Progress == nil || !l.wantsJob(j.ID) {
			continue
		}
		seen[j.ID] = j.Progress.UpdatedAt
		if !j.Progress.UpdatedAt.After(l.seen[j.ID]) {
			continue
		}
		did = spoke
		if !l.yield(LogUpdate{Pos: l.pos, JobID: j.ID, Progress: j.Progress}, nil) {
			return stopped, nil
		}
	}
	l.seen = seen
	return did, nil
}

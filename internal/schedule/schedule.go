// Package schedule holds the rules of jobs that are submitted again and again:
// when a schedule runs, what becomes of runs that were missed, and what a valid
// schedule is. It decides and stores nothing.
package schedule

import (
	"maps"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// Overlap says what happens when a run comes due while jobs of an earlier one
// have not ended.
type Overlap string

// The overlap policies; Skip is the default.
const (
	Skip    Overlap = "skip"    // the run is left out
	Queue   Overlap = "queue"   // it waits until they have ended
	Replace Overlap = "replace" // they are cancelled
)

// CatchUp says which of the runs that were missed, because no daemon was there,
// are made up for.
type CatchUp string

// The catch-up policies; Last is the default.
const (
	None CatchUp = "none"
	Last CatchUp = "last" // the most recent one
	All  CatchUp = "all"  // the most recent Definition.CatchUpLimit
)

// Definition is what a user writes (JSON or YAML, snake_case, unknown keys
// refused).
type Definition struct {
	Name         string     `json:"name"`
	Cron         string     `json:"cron" doc:"Five fields (minute hour day-of-month month day-of-week), or @hourly, @daily, @weekly, @monthly, @yearly" example:"30 2 * * *"`
	TimeZone     string     `json:"time_zone,omitempty" doc:"IANA name; default UTC" example:"Europe/Berlin"`
	Overlap      Overlap    `json:"overlap,omitempty" enum:"skip,queue,replace" doc:"When a run comes due before the jobs of the last one have ended; default skip"`
	CatchUp      CatchUp    `json:"catch_up,omitempty" enum:"none,last,all" doc:"Which missed runs are made up for after a downtime; default last"`
	CatchUpLimit int        `json:"catch_up_limit,omitempty" doc:"How many runs catch_up: all makes up for; default 10, at most 100"`
	Jitter       string     `json:"jitter,omitempty" doc:"A run starts up to this much later; the delay is fixed for each run" example:"5m"`
	Paused       bool       `json:"paused,omitempty" doc:"Nothing runs until it is resumed"`
	Jobs         []job.Spec `json:"jobs" doc:"What each run submits" nullable:"false"`
}

// Schedule is a stored schedule.
type Schedule struct {
	ID        string       `json:"id"`
	Tenant    string       `json:"tenant"`
	Spec      Definition   `json:"spec"`
	NextRuns  []time.Time  `json:"next_runs" doc:"The next five runs, without jitter; none while it is paused" nullable:"false"`
	Queued    int          `json:"queued" doc:"Runs that wait for the jobs of an earlier one (overlap: queue)"`
	LastRun   *time.Time   `json:"last_run,omitempty" doc:"The last run that submitted jobs"`
	LastJobs  []string     `json:"last_jobs,omitempty" doc:"Ids of the jobs that it submitted" nullable:"false"`
	LastError *job.Failure `json:"last_error,omitempty" doc:"Why the last run could not submit its jobs; gone after one that could"`
	CreatedAt time.Time    `json:"created_at"`
	UpdatedAt time.Time    `json:"updated_at"`

	Next     *time.Time `json:"-"` // the run to come, without jitter; nil while it is paused
	Due      *time.Time `json:"-"` // when it comes, with jitter
	Revision int64      `json:"-"` // rises with each change: who writes an older one has lost
}

// Run outcomes.
const (
	Submitted = "submitted" // its jobs are stored
	Queued    = "queued"    // it waits for the jobs of an earlier run
	Skipped   = "skipped"   // jobs of an earlier run had not ended
	Missed    = "missed"    // no daemon was there, and the catch-up policy leaves it out
	Refused   = "refused"   // the jobs were not accepted; Error says why
)

// Outcomes lists all outcomes of a run.
func Outcomes() []string { return []string{Submitted, Queued, Skipped, Missed, Refused} }

// Run is one run of a schedule, or a stretch of missed ones. A schedule has at
// most one at a time: that is what makes it run exactly once.
type Run struct {
	ScheduleID string       `json:"-"`
	Time       time.Time    `json:"time" doc:"By the cron expression, without jitter"`
	Outcome    string       `json:"outcome" enum:"submitted,queued,skipped,missed,refused"`
	Manual     bool         `json:"manual,omitempty" doc:"Somebody asked for it"`
	At         time.Time    `json:"at" doc:"When that was decided"`
	JobIDs     []string     `json:"job_ids,omitempty" nullable:"false"`
	Missed     int          `json:"missed,omitempty" doc:"How many runs were missed, this one the last of them"`
	Error      *job.Failure `json:"error,omitempty"`
}

// The labels that tell a job which schedule it comes from.
const (
	LabelSchedule = "hypersdk/schedule"
	LabelRun      = "hypersdk/scheduled_for"
)

// WithDefaults fills in what the user left out.
func (d Definition) WithDefaults() Definition {
	if d.TimeZone == "" {
		d.TimeZone = "UTC"
	}
	if d.Overlap == "" {
		d.Overlap = Skip
	}
	if d.CatchUp == "" {
		d.CatchUp = Last
	}
	if d.CatchUp == All && d.CatchUpLimit == 0 {
		d.CatchUpLimit = defaultCatchUp
	}
	return d
}

// Specs returns the jobs of a run, labelled.
func (d Definition) Specs(run time.Time) []job.Spec {
	specs := make([]job.Spec, len(d.Jobs))
	for i, s := range d.Jobs {
		s.Labels = maps.Clone(s.Labels)
		if s.Labels == nil {
			s.Labels = make(map[string]string, 2)
		}
		s.Labels[LabelSchedule], s.Labels[LabelRun] = d.Name, run.UTC().Format(time.RFC3339)
		specs[i] = s
	}
	return specs
}

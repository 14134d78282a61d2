package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// ScheduleSpec says what a schedule submits, and when. Name, Cron and Jobs are
// needed, the rest has defaults.
type ScheduleSpec struct {
	Name         string `json:"name"`
	Cron         string `json:"cron"`                     // five fields, or @hourly, @daily, @weekly, @monthly, @yearly
	TimeZone     string `json:"time_zone,omitempty"`      // IANA name; default UTC
	Overlap      string `json:"overlap,omitempty"`        // skip (default), queue, replace
	CatchUp      string `json:"catch_up,omitempty"`       // none, last (default), all
	CatchUpLimit int    `json:"catch_up_limit,omitempty"` // for all
	Jitter       string `json:"jitter,omitempty"`         // Go duration
	Paused       bool   `json:"paused,omitempty"`
	Jobs         []Spec `json:"jobs"`
}

// Schedule submits jobs again and again.
type Schedule struct {
	ID        string       `json:"id"`
	Tenant    string       `json:"tenant"`
	Spec      ScheduleSpec `json:"spec"`
	NextRuns  []time.Time  `json:"next_runs"` // five, without jitter
	Queued    int          `json:"queued"`    // runs that wait for jobs of an earlier one
	LastRun   *time.Time   `json:"last_run,omitempty"`
	LastJobs  []string     `json:"last_jobs,omitempty"`  // that the last run submitted
	LastError *Failure     `json:"last_error,omitempty"` // why the last run could not submit
	CreatedAt time.Time    `json:"created_at"`
	UpdatedAt time.Time    `json:"updated_at"`
}

// ScheduleRun is one run of a schedule. Outcome is submitted, queued, skipped,
// missed or refused.
type ScheduleRun struct {
	Time    time.Time `json:"time"`
	Outcome string    `json:"outcome"`
	Manual  bool      `json:"manual,omitempty"`
	At      time.Time `json:"at"` // when that was decided
	JobIDs  []string  `json:"job_ids,omitempty"`
	Missed  int       `json:"missed,omitempty"` // runs that were missed, this one the last
	Error   *Failure  `json:"error,omitempty"`
}

// Schedules yields all schedules, by name. An error ends it.
func (c *Client) Schedules(ctx context.Context) iter.Seq2[Schedule, error] {
	return func(yield func(Schedule, error) bool) {
		for query := (url.Values{}); ; {
			var page struct {
				Items      []Schedule `json:"items"`
				NextCursor string     `json:"next_cursor"`
			}
			if err := c.do(ctx, get("/schedules", query, &page)); err != nil {
				yield(Schedule{}, err)
				return
			}
			for _, s := range page.Items {
				if !yield(s, nil) {
					return
				}
			}
			if page.NextCursor == "" {
				return
			}
			query.Set("cursor", page.NextCursor)
		}
	}
}

// Schedule returns a schedule by id or name.
func (c *Client) Schedule(ctx context.Context, ref string) (Schedule, error) {
	var out Schedule
	return out, c.do(ctx, get(schedulePath(ref), nil, &out))
}

// ScheduleRuns returns the last runs of a schedule, the latest first.
func (c *Client) ScheduleRuns(ctx context.Context, ref string) ([]ScheduleRun, error) {
	var out struct {
		Items []ScheduleRun `json:"items"`
	}
	return out.Items, c.do(ctx, get(schedulePath(ref, "runs"), nil, &out))
}

// CreateSchedule creates a schedule.
func (c *Client) CreateSchedule(ctx context.Context, s ScheduleSpec) (Schedule, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return Schedule{}, fmt.Errorf("encode the schedule: %w", err)
	}
	return c.CreateScheduleFile(ctx, body, "application/json")
}

// CreateScheduleFile creates the schedule of a text, as application/json or
// application/yaml.
func (c *Client) CreateScheduleFile(ctx context.Context, text []byte, contentType string) (Schedule, error) {
	return c.sendSchedule(ctx, http.MethodPost, "/schedules", text, contentType)
}

// SetSchedule replaces the definition of a schedule.
func (c *Client) SetSchedule(ctx context.Context, ref string, s ScheduleSpec) (Schedule, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return Schedule{}, fmt.Errorf("encode the schedule: %w", err)
	}
	return c.SetScheduleFile(ctx, ref, body, "application/json")
}

// SetScheduleFile is SetSchedule with a text.
func (c *Client) SetScheduleFile(ctx context.Context, ref string, text []byte, contentType string) (Schedule, error) {
	return c.sendSchedule(ctx, http.MethodPut, schedulePath(ref), text, contentType)
}

func (c *Client) sendSchedule(ctx context.Context, method, path string, text []byte, contentType string) (Schedule, error) {
	var out Schedule
	return out, c.do(ctx, call{
		method: method, path: path, body: text, out: &out, header: http.Header{"Content-Type": {contentType}},
	})
}

// DeleteSchedule deletes a schedule; jobs that it submitted go on.
func (c *Client) DeleteSchedule(ctx context.Context, ref string) error {
	return c.do(ctx, call{method: http.MethodDelete, path: schedulePath(ref)})
}

// PauseSchedule stops the runs of a schedule. It may be repeated.
func (c *Client) PauseSchedule(ctx context.Context, ref string) (Schedule, error) {
	var out Schedule
	return out, c.do(ctx, call{method: http.MethodPost, path: schedulePath(ref, "pause"), out: &out})
}

// ResumeSchedule goes on with the first run after now. It may be repeated.
func (c *Client) ResumeSchedule(ctx context.Context, ref string) (Schedule, error) {
	var out Schedule
	return out, c.do(ctx, call{method: http.MethodPost, path: schedulePath(ref, "resume"), out: &out})
}

// RunSchedule runs a schedule now.
func (c *Client) RunSchedule(ctx context.Context, ref string) (ScheduleRun, error) {
	var out ScheduleRun
	return out, c.do(ctx, call{method: http.MethodPost, path: schedulePath(ref, "run"), out: &out})
}

// schedulePath makes the path of a schedule; whatever ref holds stays one segment.
func schedulePath(ref string, more ...string) string {
	return "/schedules/" + strings.Join(append([]string{url.PathEscape(ref)}, more...), "/")
}

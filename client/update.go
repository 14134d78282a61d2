package client

import (
	"context"
	"net/http"
	"time"
)

// Pause holds a pending job back; reason may be empty.
func (c *Client) Pause(ctx context.Context, id, reason string) (Job, error) {
	return c.update(ctx, http.MethodPost, jobPath(id, "pause"), struct {
		Reason string `json:"reason,omitempty"`
	}{reason})
}

// Resume lets a paused job go.
func (c *Client) Resume(ctx context.Context, id string) (Job, error) {
	return c.bare(ctx, jobPath(id, "resume"))
}

// Retry tries a job again that failed or was cancelled, or that waits for its
// next attempt.
func (c *Client) Retry(ctx context.Context, id string) (Job, error) {
	return c.bare(ctx, jobPath(id, "retry"))
}

// SetPriority gives a pending job another priority.
func (c *Client) SetPriority(ctx context.Context, id, priority string) (Job, error) {
	return c.update(ctx, http.MethodPatch, jobPath(id), struct {
		Priority string `json:"priority"`
	}{priority})
}

func (c *Client) update(ctx context.Context, method, path string, in any) (Job, error) {
	var out Job
	request, err := post(path, in, &out)
	if err != nil {
		return Job{}, err
	}
	request.method = method
	return out, c.do(ctx, request)
}

// bare makes a request without a body.
func (c *Client) bare(ctx context.Context, path string) (Job, error) {
	var out Job
	return out, c.do(ctx, call{method: http.MethodPost, path: path, out: &out})
}

// BulkRequest is one action for all jobs that match: cancel, retry, priority,
// pause or resume.
type BulkRequest struct {
	Action   string     `json:"action"`
	Filter   BulkFilter `json:"filter"`             // not empty
	Priority string     `json:"priority,omitempty"` // the new one, of the action priority
	Reason   string     `json:"reason,omitempty"`   // of cancel and pause
	DryRun   bool       `json:"dry_run,omitempty"`  // only count
}

// BulkFilter selects jobs as a Query does.
type BulkFilter struct {
	JobIDs   []string  `json:"job_ids,omitempty"`
	Status   []State   `json:"status,omitempty"`
	Priority []string  `json:"priority,omitempty"`
	VM       string    `json:"vm,omitempty"`
	Since    time.Time `json:"since,omitzero"`
	Until    time.Time `json:"until,omitzero"`
}

// BulkResult tells what a bulk request did.
type BulkResult struct {
	DryRun    bool        `json:"dry_run,omitempty"`
	Matched   int64       `json:"matched"`        // jobs that match and that the action is for
	More      bool        `json:"more,omitempty"` // ask again for the rest
	Changed   int         `json:"changed"`
	Unchanged int         `json:"unchanged"` // it was so before
	Failed    int         `json:"failed"`
	Errors    []BulkIssue `json:"errors"` // the first 100
}

// BulkIssue is why one job was not changed.
type BulkIssue struct {
	JobID   string `json:"job_id"`
	Code    string `json:"code,omitempty"`
	Message string `json:"message"`
	Fix     string `json:"fix,omitempty"`
}

// Bulk does one thing to all jobs that match, at most 10000 at once.
func (c *Client) Bulk(ctx context.Context, b BulkRequest) (BulkResult, error) {
	var out BulkResult
	request, err := post("/jobs/bulk", b, &out)
	if err != nil {
		return BulkResult{}, err
	}
	return out, c.do(ctx, request)
}

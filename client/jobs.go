package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
)

// Submit submits jobs. Accepted ones are durable when it returns; a job of
// several that was refused is in Submitted.Errors. If all were refused the error
// lists why in Errors.
func (c *Client) Submit(ctx context.Context, jobs ...Spec) (Submitted, error) {
	body, err := json.Marshal(struct {
		Jobs []Spec `json:"jobs"`
	}{jobs})
	if err != nil {
		return Submitted{}, fmt.Errorf("encode the jobs: %w", err)
	}
	return c.SubmitFile(ctx, body, "application/json")
}

// SubmitFile submits the jobs of a text: one job, a list or {"jobs": […]}, as
// application/json or application/yaml.
func (c *Client) SubmitFile(ctx context.Context, text []byte, contentType string) (Submitted, error) {
	return c.SubmitKeyed(ctx, c.keyed.next(), text, contentType)
}

// SubmitKeyed is SubmitFile under an idempotency key of the caller's (1 to 255
// visible ASCII characters): called again with the same key and text, even by
// another process, it submits nothing new and gives the first answer. A key is
// remembered for 24 hours.
func (c *Client) SubmitKeyed(ctx context.Context, key string, text []byte, contentType string) (Submitted, error) {
	var out Submitted
	return out, c.do(ctx, call{
		method: http.MethodPost, path: "/jobs/submit", body: text, out: &out,
		header: http.Header{"Content-Type": {contentType}, headerKey: {key}},
	})
}

// Get returns a job as it is now.
func (c *Client) Get(ctx context.Context, id string) (Job, error) {
	var out Job
	return out, c.do(ctx, get(jobPath(id), nil, &out))
}

// Query returns one page of the jobs that match.
func (c *Client) Query(ctx context.Context, q Query) (Page, error) {
	var out Page
	request, err := post("/jobs/query", q, &out)
	if err != nil {
		return Page{}, err
	}
	return out, c.do(ctx, request)
}

// Jobs yields the jobs that match, newest first, from all pages. An error ends
// it.
func (c *Client) Jobs(ctx context.Context, q Query) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		for {
			page, err := c.Query(ctx, q)
			if err != nil {
				yield(Job{}, err)
				return
			}
			for _, j := range page.Jobs {
				if !yield(j, nil) {
					return
				}
			}
			if q.Cursor = page.NextCursor; q.Cursor == "" {
				return
			}
		}
	}
}

// Cancel asks a job to stop. It may be repeated; reason may be empty.
func (c *Client) Cancel(ctx context.Context, id, reason string) (Cancellation, error) {
	var out Cancellation
	request, err := post(jobPath(id, "cancel"), struct {
		Reason string `json:"reason,omitempty"`
	}{reason}, &out)
	if err != nil {
		return Cancellation{}, err
	}
	return out, c.do(ctx, request)
}

// jobPath makes the path of a job; whatever the id holds stays one segment.
func jobPath(id string, more ...string) string {
	return "/jobs/" + strings.Join(append([]string{url.PathEscape(id)}, more...), "/")
}

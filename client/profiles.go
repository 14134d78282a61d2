package client

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// Profile is a named set of defaults for jobs.
type Profile struct {
	ID          string     `json:"id"`
	Name        string     `json:"name,omitempty"`
	Description string     `json:"description,omitempty"`
	Extends     string     `json:"extends,omitempty"`
	Source      string     `json:"source"`   // file (of the daemon, read-only) or tenant
	Defaults    Spec       `json:"defaults"` // its own, without those that it extends
	UpdatedAt   *time.Time `json:"updated_at,omitempty"`
	Problem     string     `json:"problem,omitempty"` // why a file cannot be used
	Text        string     `json:"text,omitempty"`    // as it was written; not in lists
}

// Rendered is a job as a profile makes it.
type Rendered struct {
	Profile string   `json:"profile"`
	Chain   []string `json:"chain"`  // the profile and what it extends
	Digest  string   `json:"digest"` // changes when the merged defaults do
	Spec    Spec     `json:"spec"`
}

// Profiles lists the profiles that the caller sees, by id.
func (c *Client) Profiles(ctx context.Context) ([]Profile, error) {
	var out struct {
		Items []Profile `json:"items"`
	}
	return out.Items, c.do(ctx, get("/profiles", nil, &out))
}

// Profile returns one profile.
func (c *Client) Profile(ctx context.Context, id string) (Profile, error) {
	var out Profile
	return out, c.do(ctx, get(profilePath(id), nil, &out))
}

// PutProfile makes or replaces a profile; text is as in a file, application/yaml
// or application/json.
func (c *Client) PutProfile(ctx context.Context, id string, text []byte, contentType string) (Profile, error) {
	var out Profile
	return out, c.do(ctx, call{
		method: http.MethodPut, path: profilePath(id), body: text, out: &out, header: http.Header{"Content-Type": {contentType}},
	})
}

// DeleteProfile deletes a profile and returns what it was.
func (c *Client) DeleteProfile(ctx context.Context, id string) (Profile, error) {
	var out Profile
	return out, c.do(ctx, call{method: http.MethodDelete, path: profilePath(id), out: &out})
}

// RenderProfile shows what a job would be with a profile; nothing is stored.
func (c *Client) RenderProfile(ctx context.Context, id string, spec Spec) (Rendered, error) {
	var out Rendered
	request, err := post(profilePath(id)+"/render", struct {
		Spec Spec `json:"spec"`
	}{spec}, &out)
	if err != nil {
		return Rendered{}, err
	}
	return out, c.do(ctx, request)
}

// SetBandwidth replaces how fast a job may read from its source: limit (empty:
// none) and windows such as "Mon-Fri 08:00-18:00 = 50MB".
func (c *Client) SetBandwidth(ctx context.Context, id, limit string, windows ...string) (Job, error) {
	var out Job
	request, err := post(jobPath(id, "bandwidth"), struct {
		Limit   string   `json:"bandwidth_limit,omitempty"`
		Windows []string `json:"bandwidth_windows,omitempty"`
	}{limit, windows}, &out)
	if err != nil {
		return Job{}, err
	}
	request.method = http.MethodPut
	return out, c.do(ctx, request)
}

func profilePath(id string) string { return "/profiles/" + url.PathEscape(id) }

package client

import "context"

// RetentionReport tells what a pass of retention did, or would do.
type RetentionReport struct {
	DryRun    bool               `json:"dry_run"`
	Jobs      int                `json:"jobs"`      // forgotten, with their events
	Artifacts int                `json:"artifacts"` // outputs removed
	Bytes     int64              `json:"bytes"`     // that they held
	Removed   []RetainedArtifact `json:"removed"`   // at most 1000 of them
	Kept      []RetainedArtifact `json:"kept"`      // left alone; at most 1000 of them
	KeptCount int                `json:"kept_count"`
	More      bool               `json:"more"` // another pass follows
}

// RetainedArtifact is the output of a job, and why it goes or stays.
type RetainedArtifact struct {
	JobID  string `json:"job_id"`
	Tenant string `json:"tenant"`
	VMPath string `json:"vm_path"`
	Path   string `json:"path,omitempty"`
	Bytes  int64  `json:"bytes"`
	Reason string `json:"reason"`
}

// Retention forgets what has ended, as the daemon's configuration says, or with
// dryRun tells what it would forget.
func (c *Client) Retention(ctx context.Context, dryRun bool) (RetentionReport, error) {
	var out RetentionReport
	request, err := post("/retention/run", struct {
		DryRun bool `json:"dry_run"`
	}{dryRun}, &out)
	if err != nil {
		return RetentionReport{}, err
	}
	return out, c.do(ctx, request)
}

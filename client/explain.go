package client

import (
	"context"
	"time"
)

// Explanation tells why a job is not at work.
type Explanation struct {
	JobID          string        `json:"job_id"`
	Status         State         `json:"status"`
	Reason         string        `json:"reason,omitempty"` // slot, tenant_limit, host_limit, not_before, paused; empty: it does not wait
	Message        string        `json:"message"`
	Detail         ExplainDetail `json:"detail"`
	EstimatedStart *time.Time    `json:"estimated_start,omitempty"` // nil: unknown
	NextClaim      bool          `json:"next_claim"`                // it starts without further ado
	Remedy         []Remedy      `json:"remedy"`                    // what would start it now, all of it together
}

// ExplainDetail are the numbers of an explanation.
type ExplainDetail struct {
	WorkersSize   int        `json:"workers_size"`
	WorkersBusy   int        `json:"workers_busy"`
	TenantRunning int        `json:"tenant_running"`
	TenantLimit   int        `json:"tenant_limit"`   // 0: none
	Host          *HostWait  `json:"host,omitempty"` // nil: not known, or without a limit
	Ahead         int        `json:"ahead"`          // ready jobs that start before it
	AheadIsLeast  bool       `json:"ahead_is_least,omitempty"`
	WaitingSince  *time.Time `json:"waiting_since,omitempty"`
	NotBefore     *time.Time `json:"not_before,omitempty"`
}

// HostWait is a host that a job waits for, and what holds its slots.
type HostWait struct {
	Name   string   `json:"name"` // PROVIDER/HOST
	Limit  int      `json:"limit"`
	Held   int      `json:"held"`
	Jobs   []string `json:"jobs"`   // of the tenant
	Others int      `json:"others"` // of other tenants
	Ahead  int      `json:"ahead"`  // jobs that take a slot of it before
}

// Remedy is one action: resume, resume_tenant, retry, wait_until (At), priority
// (To), raise_limit (max_concurrent_jobs of Tenant to N), raise_host_limit
// (max_exports_per_host to N, for Host), add_workers (N more).
type Remedy struct {
	Action string     `json:"action"`
	Tenant string     `json:"tenant,omitempty"`
	Host   string     `json:"host,omitempty"`
	To     string     `json:"to,omitempty"`
	N      int        `json:"n,omitempty"`
	At     *time.Time `json:"at,omitempty"`
}

// Explain tells why a job waits and what would start it.
func (c *Client) Explain(ctx context.Context, id string) (Explanation, error) {
	var out Explanation
	return out, c.do(ctx, get(jobPath(id, "explain"), nil, &out))
}

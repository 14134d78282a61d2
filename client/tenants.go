package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Tenant is a tenant with its limits; 0 means none.
type Tenant struct {
	ID                string    `json:"id"`
	Name              string    `json:"name"`
	State             string    `json:"state"` // active, draining, deleted
	Paused            bool      `json:"paused"`
	Weight            int       `json:"weight"`
	MaxConcurrentJobs int64     `json:"max_concurrent_jobs"`
	MaxQueuedJobs     int64     `json:"max_queued_jobs"`
	MaxStorageGB      int64     `json:"max_storage_gb"`     // 10^9 bytes
	MaxBandwidthMbps  int64     `json:"max_bandwidth_mbps"` // 10^6 bits per second
	StoredBytes       int64     `json:"stored_bytes"`
	CreatedAt         time.Time `json:"created_at"`
}

// TenantChange is what may be set of a tenant; nil leaves it.
type TenantChange struct {
	Name              *string `json:"name,omitempty"`
	Weight            *int    `json:"weight,omitempty"`
	Paused            *bool   `json:"paused,omitempty"`
	MaxConcurrentJobs *int64  `json:"max_concurrent_jobs,omitempty"`
	MaxQueuedJobs     *int64  `json:"max_queued_jobs,omitempty"`
	MaxStorageGB      *int64  `json:"max_storage_gb,omitempty"`
	MaxBandwidthMbps  *int64  `json:"max_bandwidth_mbps,omitempty"`
	StoredBytes       *int64  `json:"stored_bytes,omitempty"` // after exports were removed by hand
}

// TenantRequest says what a new tenant shall be.
type TenantRequest struct {
	ID string `json:"id"`
	TenantChange
}

// UsageReport is what a tenant used.
type UsageReport struct {
	Tenant string       `json:"tenant"`
	Months []UsageMonth `json:"months"`
}

// UsageMonth is what a tenant used in one month.
type UsageMonth struct {
	Month            string  `json:"month"` // UTC, as 2026-01
	Completed        int64   `json:"jobs_completed"`
	Failed           int64   `json:"jobs_failed"`
	Cancelled        int64   `json:"jobs_cancelled"`
	BytesRead        int64   `json:"bytes_read"`        // of the disks, as large as the guest sees them
	BytesTransferred int64   `json:"bytes_transferred"` // over the wire
	BytesStored      int64   `json:"bytes_stored"`
	Seconds          float64 `json:"seconds"` // that workers spent
}

// Tenants lists the tenants that the caller may see.
func (c *Client) Tenants(ctx context.Context) ([]Tenant, error) {
	var out struct {
		Items []Tenant `json:"items"`
	}
	return out.Items, c.do(ctx, get("/tenants", nil, &out))
}

// Tenant returns a tenant.
func (c *Client) Tenant(ctx context.Context, id string) (Tenant, error) {
	var out Tenant
	return out, c.do(ctx, get(tenantPath(id), nil, &out))
}

// CreateTenant makes a tenant.
func (c *Client) CreateTenant(ctx context.Context, r TenantRequest) (Tenant, error) {
	var out Tenant
	return out, c.post(ctx, "/tenants", r, &out)
}

// ChangeTenant changes a tenant.
func (c *Client) ChangeTenant(ctx context.Context, id string, change TenantChange) (Tenant, error) {
	var out Tenant
	request, err := post(tenantPath(id), change, &out)
	if err != nil {
		return Tenant{}, err
	}
	request.method = http.MethodPatch
	return out, c.do(ctx, request)
}

// PauseTenant keeps a tenant's jobs from starting.
func (c *Client) PauseTenant(ctx context.Context, id string) (Tenant, error) {
	var out Tenant
	return out, c.do(ctx, call{method: http.MethodPost, path: tenantPath(id, "pause"), out: &out})
}

// ResumeTenant lets a tenant's jobs start again.
func (c *Client) ResumeTenant(ctx context.Context, id string) (Tenant, error) {
	var out Tenant
	return out, c.do(ctx, call{method: http.MethodPost, path: tenantPath(id, "resume"), out: &out})
}

// DeleteTenant deletes a tenant: its State tells whether it is gone or still
// draining.
func (c *Client) DeleteTenant(ctx context.Context, id string) (Tenant, error) {
	var out Tenant
	return out, c.do(ctx, call{method: http.MethodDelete, path: tenantPath(id), out: &out})
}

// Usage returns what a tenant used from one month to another, as 2026-01; empty
// ones leave that end open.
func (c *Client) Usage(ctx context.Context, tenant, from, to string) (UsageReport, error) {
	var out UsageReport
	return out, c.do(ctx, get(tenantPath(tenant, "usage"), months(from, to), &out))
}

// UsageCSV is Usage as CSV, with a line of headers.
func (c *Client) UsageCSV(ctx context.Context, tenant, from, to string) ([]byte, error) {
	var out []byte
	query := months(from, to)
	query.Set("format", "csv")
	return out, c.do(ctx, get(tenantPath(tenant, "usage"), query, &out))
}

func months(from, to string) url.Values {
	query := url.Values{}
	if from != "" {
		query.Set("from", from)
	}
	if to != "" {
		query.Set("to", to)
	}
	return query
}

// tenantPath makes the path of a tenant; whatever the id holds stays one segment.
func tenantPath(id string, more ...string) string {
	return "/tenants/" + strings.Join(append([]string{url.PathEscape(id)}, more...), "/")
}

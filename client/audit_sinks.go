package client

import (
	"context"
	"time"
)

// AuditSink is a place to which the daemon carries its audit log.
type AuditSink struct {
	Name        string     `json:"name"`
	Kind        string     `json:"kind"`  // file, syslog, otlp, s3
	State       string     `json:"state"` // current, behind, failing
	Pos         int64      `json:"pos"`   // it has the log up to here
	LagEntries  int64      `json:"lag_entries"`
	LagSeconds  float64    `json:"lag_seconds"`
	LastTakenAt *time.Time `json:"last_taken_at,omitempty"`
	Failures    int        `json:"failures"` // in a row
	LastError   string     `json:"last_error,omitempty"`
	Node        string     `json:"node,omitempty"`
}

// AuditSinks tells how far the sinks have the log, by name.
func (c *Client) AuditSinks(ctx context.Context) ([]AuditSink, error) {
	var out struct {
		Items []AuditSink `json:"items"`
	}
	err := c.do(ctx, get("/audit/sinks", nil, &out))
	return out.Items, err
}

package client

import (
	"context"
	"time"
)

// Node is one running daemon, or one that was lost.
type Node struct {
	ID        string    `json:"id"`
	Host      string    `json:"host"`
	URL       string    `json:"url,omitempty"`
	Version   string    `json:"version"`
	State     string    `json:"state"` // alive, draining, lost
	Workers   int       `json:"workers"`
	Busy      int       `json:"busy"`
	StartedAt time.Time `json:"started_at"`
	LastSeen  time.Time `json:"last_seen"`
}

// Nodes lists the daemons that share the queue.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	var out struct {
		Items []Node `json:"items"`
	}
	return out.Items, c.do(ctx, get("/nodes", nil, &out))
}

package client

import (
	"context"
	"net/http"
	"net/url"
)

// VMs lists the virtual machines of a provider (empty: the default one) that
// match any of the patterns: inventory path with globs, name, UUID or id. None
// given: all.
func (c *Client) VMs(ctx context.Context, provider string, patterns ...string) ([]VM, error) {
	var out struct {
		Items []VM `json:"items"`
	}
	query := url.Values{}
	if provider != "" {
		query.Set("provider", provider)
	}
	for _, p := range patterns {
		query.Add("path", p)
	}
	return out.Items, c.do(ctx, get("/vms", query, &out))
}

// Status tells how busy the daemon is.
func (c *Client) Status(ctx context.Context) (Status, error) {
	var out Status
	return out, c.do(ctx, get("/status", nil, &out))
}

// Health tells how the daemon's parts are. An unhealthy daemon is no error.
func (c *Client) Health(ctx context.Context) (Health, error) {
	var out Health
	q := get("/health", nil, &out)
	q.also = http.StatusServiceUnavailable
	return out, c.do(ctx, q)
}

// Metrics returns the daemon's metrics in the text format of Prometheus.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) {
	var out []byte
	return out, c.do(ctx, get("/metrics", nil, &out))
}

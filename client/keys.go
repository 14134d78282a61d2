package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// APIKey is a key without the key itself.
type APIKey struct {
	ID         string     `json:"id"`
	Tenant     string     `json:"tenant"`
	Name       string     `json:"name"`
	Prefix     string     `json:"prefix"`           // how it begins
	Role       string     `json:"role"`             // viewer, operator, admin, platform
	Scopes     []string   `json:"scopes,omitempty"` // of the role's permissions; none: all
	CreatedBy  string     `json:"created_by"`
	CreatedAt  time.Time  `json:"created_at"`
	ExpiresAt  *time.Time `json:"expires_at,omitempty"`
	RevokedAt  *time.Time `json:"revoked_at,omitempty"`
	LastUsedAt *time.Time `json:"last_used_at,omitempty"` // to the minute
}

// KeyRequest says what a new key shall be. Name and Role are needed.
type KeyRequest struct {
	Name      string     `json:"name"`
	Role      string     `json:"role"`
	Scopes    []string   `json:"scopes,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty"` // nil: never
}

// NewKey is a key and, this once, its secret.
type NewKey struct {
	Secret string `json:"secret"`
	Key    APIKey `json:"key"`
}

// Keys lists the API keys of a tenant (empty: the caller's own).
func (c *Client) Keys(ctx context.Context, tenant string) ([]APIKey, error) {
	var out struct {
		Items []APIKey `json:"items"`
	}
	return out.Items, c.do(ctx, get(keyPath(tenant), nil, &out))
}

// CreateKey makes an API key for a tenant (empty: the caller's own).
func (c *Client) CreateKey(ctx context.Context, tenant string, r KeyRequest) (NewKey, error) {
	var out NewKey
	return out, c.post(ctx, keyPath(tenant), r, &out)
}

// RotateKey makes the key that follows one of the caller's tenant; the old one
// ends after the overlap (0: at once).
func (c *Client) RotateKey(ctx context.Context, id string, overlap time.Duration) (NewKey, error) {
	var out NewKey
	return out, c.post(ctx, keyPath("", id, "rotate"), struct {
		Overlap string `json:"overlap"`
	}{overlap.String()}, &out)
}

// RevokeKey ends an API key of a tenant (empty: the caller's own) at once. It
// may be repeated.
func (c *Client) RevokeKey(ctx context.Context, tenant, id string) (APIKey, error) {
	var out APIKey
	return out, c.do(ctx, call{method: http.MethodDelete, path: keyPath(tenant, id), out: &out})
}

// post posts JSON.
func (c *Client) post(ctx context.Context, path string, in, out any) error {
	request, err := post(path, in, out)
	if err != nil {
		return err
	}
	return c.do(ctx, request)
}

// keyPath makes the path of a tenant's keys, or of one.
func keyPath(tenant string, more ...string) string {
	path := []string{"/keys"}
	if tenant != "" {
		path[0] = tenantPath(tenant, "keys")
	}
	for _, m := range more {
		path = append(path, url.PathEscape(m))
	}
	return strings.Join(path, "/")
}

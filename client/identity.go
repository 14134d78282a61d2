package client

import "context"

// SignIn is how callers can say who they are.
type SignIn struct {
	Methods []string    `json:"methods"` // any of api_key, oidc, mtls; none: nobody is asked
	OIDC    *SignInOIDC `json:"oidc,omitempty"`
}

// SignInOIDC is what a program needs to get a token.
type SignInOIDC struct {
	Issuer   string   `json:"issuer"`
	ClientID string   `json:"client_id,omitempty"` // public, with the device grant
	Scopes   []string `json:"scopes,omitempty"`
	Token    string   `json:"token"` // which to send: id_token or access_token
}

// Identity is who calls.
type Identity struct {
	Actor       string   `json:"actor"` // as the events and the audit log name the caller
	Tenant      string   `json:"tenant"`
	Permissions []string `json:"permissions"`
}

// SignIn tells how to sign in. It needs no credential.
func (c *Client) SignIn(ctx context.Context) (SignIn, error) {
	var out SignIn
	return out, c.do(ctx, get("/auth/config", nil, &out))
}

// WhoAmI tells who the caller is to the daemon.
func (c *Client) WhoAmI(ctx context.Context) (Identity, error) {
	var out Identity
	return out, c.do(ctx, get("/whoami", nil, &out))
}

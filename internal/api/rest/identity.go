package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/tenant"
)

// SignIn is how callers can say who they are.
type SignIn struct {
	Methods []string    `json:"methods" doc:"Any of api_key, oidc, mtls; none: nobody is asked" nullable:"false"`
	OIDC    *SignInOIDC `json:"oidc,omitempty" doc:"The issuer whose tokens are taken"`
}

// SignInOIDC is what a program needs to get a token.
type SignInOIDC struct {
	Issuer   string   `json:"issuer" doc:"Its configuration is at /.well-known/openid-configuration below"`
	ClientID string   `json:"client_id,omitempty" doc:"A public client with the device grant"`
	Scopes   []string `json:"scopes,omitempty" nullable:"false"`
	Token    string   `json:"token" doc:"Which to send: id_token or access_token"`
}

// Identity is who calls.
type Identity struct {
	Actor       string              `json:"actor" doc:"As the events and the audit log name the caller" example:"key:ci/hvk_ABCDEFGH"`
	Tenant      tenant.ID           `json:"tenant"`
	Permissions []tenant.Permission `json:"permissions" nullable:"false"`
}

func (a *API) routeIdentity() {
	register(a, huma.Operation{
		OperationID: "get_auth_config", Method: http.MethodGet, Path: "/auth/config", Tags: tagDaemon,
		Summary: "How to sign in", Description: "Open to everybody: `hyperctl login` asks for it.",
	}, func(context.Context, *struct{}) (*signInOutput, error) { return &signInOutput{a.signIn()}, nil })
	private(a, huma.Operation{
		OperationID: "get_whoami", Method: http.MethodGet, Path: "/whoami", Tags: tagDaemon,
		Summary: "Who calls, for which tenant, and what that caller may do",
	}, a.getWhoami)
}

func (a *API) signIn() SignIn {
	s := a.deps.SignIn
	if s.Methods == nil {
		s.Methods = []string{}
	}
	return s
}

type signInOutput struct {
	Body SignIn
}

type identityOutput struct {
	Body Identity
}

// getWhoami takes any principal, of whatever permissions; the scope refuses nobody's.
func (*API) getWhoami(_ context.Context, p tenant.Principal, _ *struct{}) (*identityOutput, error) {
	if p.Tenant() == "" {
		_, err := p.Scope(tenant.JobRead)
		return nil, err
	}
	return &identityOutput{Identity{Actor: p.Name(), Tenant: p.Tenant(), Permissions: p.Permissions()}}, nil
}

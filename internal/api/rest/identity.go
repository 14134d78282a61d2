package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/service"
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
	Body service.Identity
}

func (a *API) getWhoami(ctx context.Context, p tenant.Principal, _ *struct{}) (*identityOutput, error) {
	who, err := a.deps.Service.WhoAmI(ctx, p)
	return &identityOutput{who}, err
}

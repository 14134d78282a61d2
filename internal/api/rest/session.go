package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var tagSession = []string{"session"}

// routeSession serves the sessions of browsers.
func (a *API) routeSession() {
	if a.deps.Sessions == nil {
		return
	}
	private(a, huma.Operation{
		OperationID: "create_session", Method: http.MethodPost, Path: "/session", Tags: tagSession, Summary: "Exchange an API key for a session",
		Description: "Sets a cookie that no script reads and that browsers send to this origin only. The session can do what the key can, and ends with it. " +
			"Each change by it needs the header " + auth.HeaderCSRF + ", and comes from a page of this origin.", DefaultStatus: http.StatusCreated,
	}, a.createSession)
	private(a, huma.Operation{
		OperationID: "get_session", Method: http.MethodGet, Path: "/session", Tags: tagSession, Summary: "The session that the request comes by",
		Description: "404 for a caller without one, e.g. with an API key.",
	}, a.getSession)
	private(a, huma.Operation{
		OperationID: "end_session", Method: http.MethodDelete, Path: "/session", Tags: tagSession, Summary: "End the session that the request comes by",
		DefaultStatus: http.StatusNoContent,
	}, a.endSession)
}

// SessionInfo tells of a session.
type SessionInfo struct {
	Tenant      tenant.ID `json:"tenant"`
	Principal   string    `json:"principal" doc:"As the event log names it"`
	CreatedAt   time.Time `json:"created_at"`
	ExpiresAt   time.Time `json:"expires_at" doc:"It ends then, used or not"`
	IdleSeconds float64   `json:"idle_seconds" doc:"It ends when it is not used for so long"`
	CSRFToken   string    `json:"csrf_token" doc:"To be sent with each change in X-CSRF-Token"`
}

func infoOf(s auth.Session, token string) SessionInfo {
	return SessionInfo{Tenant: s.Tenant, Principal: s.Principal, CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, IdleSeconds: s.Idle.Seconds(), CSRFToken: token}
}

type sessionOutput struct {
	SetCookie string `header:"Set-Cookie" doc:"__Host-hypervisord over TLS, hypervisord without"`
	Body      SessionInfo
}

func (a *API) createSession(ctx context.Context, p tenant.Principal, _ *struct{}) (*sessionOutput, error) {
	cookie, s, token, err := a.deps.Sessions.Begin(requestOf(ctx), p)
	if err != nil {
		return nil, err
	}
	return &sessionOutput{SetCookie: cookie.String(), Body: infoOf(s, token)}, nil
}

type sessionInfoOutput struct {
	Body SessionInfo
}

func (a *API) getSession(ctx context.Context, _ tenant.Principal, _ *struct{}) (*sessionInfoOutput, error) {
	s, token, err := a.deps.Sessions.Current(requestOf(ctx))
	if err != nil {
		return nil, err
	}
	return &sessionInfoOutput{infoOf(s, token)}, nil
}

type endSessionOutput struct {
	SetCookie string `header:"Set-Cookie" doc:"Has the browser forget the cookie"`
}

func (a *API) endSession(ctx context.Context, p tenant.Principal, _ *struct{}) (*endSessionOutput, error) {
	cookie, err := a.deps.Sessions.End(requestOf(ctx), p)
	if err != nil {
		return nil, err
	}
	return &endSessionOutput{SetCookie: cookie.String()}, nil
}

// requestOf is the request of a private operation.
func requestOf(ctx context.Context) *http.Request {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.request
}

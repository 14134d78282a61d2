package rest

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (a *API) routeKeys() {
	private(a, huma.Operation{
		OperationID: "list_keys", Method: http.MethodGet, Path: "/keys", Tags: tagTenants, Summary: "List the API keys of the caller's tenant",
		Description: "Revoked and expired keys are listed for 90 days.",
	}, func(ctx context.Context, p tenant.Principal, _ *struct{}) (*keysOutput, error) {
		return a.listKeys(ctx, p, "")
	})
	private(a, huma.Operation{
		OperationID: "create_key", Method: http.MethodPost, Path: "/keys", Tags: tagTenants, Summary: "Make an API key for the caller's tenant",
		Description: "The key itself is in this answer and never shown again. A caller can give only permissions that it has.", DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, p tenant.Principal, in *keyInput) (*newKeyOutput, error) {
		return a.createKey(ctx, p, "", in.Body)
	})
	private(a, huma.Operation{
		OperationID: "revoke_key", Method: http.MethodDelete, Path: "/keys/{id}", Tags: tagTenants, Summary: "Revoke an API key at once",
	}, func(ctx context.Context, p tenant.Principal, in *keyIDInput) (*keyOutput, error) {
		return a.revokeKey(ctx, p, "", in.ID)
	})
	private(a, huma.Operation{
		OperationID: "rotate_key", Method: http.MethodPost, Path: "/keys/{id}/rotate", Tags: tagTenants, Summary: "Make the key that follows one",
		Description: "The new key has the name, role and scopes of the old one and lives as long, from now on. The old one ends after the overlap.", DefaultStatus: http.StatusCreated,
	}, a.rotateKey)
	a.routeTenantKeys()
}

// routeTenantKeys are the keys of a tenant that is named.
func (a *API) routeTenantKeys() {
	private(a, huma.Operation{
		OperationID: "list_tenant_keys", Method: http.MethodGet, Path: "/tenants/{id}/keys", Tags: tagTenants, Summary: "List the API keys of a tenant",
	}, func(ctx context.Context, p tenant.Principal, in *tenantIDInput) (*keysOutput, error) {
		return a.listKeys(ctx, p, in.ID)
	})
	private(a, huma.Operation{
		OperationID: "create_tenant_key", Method: http.MethodPost, Path: "/tenants/{id}/keys", Tags: tagTenants, Summary: "Make an API key for a tenant",
		Description: "The key itself is in this answer and never shown again.", DefaultStatus: http.StatusCreated,
	}, func(ctx context.Context, p tenant.Principal, in *tenantKeyInput) (*newKeyOutput, error) {
		return a.createKey(ctx, p, in.ID, in.Body)
	})
	private(a, huma.Operation{
		OperationID: "revoke_tenant_key", Method: http.MethodDelete, Path: "/tenants/{id}/keys/{key}", Tags: tagTenants, Summary: "Revoke an API key of a tenant at once",
	}, func(ctx context.Context, p tenant.Principal, in *tenantKeyIDInput) (*keyOutput, error) {
		return a.revokeKey(ctx, p, in.ID, in.Key)
	})
}

// KeyRequest says what a new key shall be.
type KeyRequest struct {
	Name      string              `json:"name" doc:"1 to 64 letters, digits, dots, hyphens and underscores; the event log shows it"`
	Role      tenant.Role         `json:"role"`
	Scopes    []tenant.Permission `json:"scopes,omitempty" doc:"What of the role's permissions the key gets; absent: all" maxItems:"100" nullable:"false"`
	ExpiresAt *time.Time          `json:"expires_at,omitempty" doc:"Absent: never"`
}

type keyInput struct {
	Body KeyRequest
}

type keyIDInput struct {
	ID string `path:"id" doc:"The key's id"`
}

type tenantKeyInput struct {
	ID   tenant.ID `path:"id" doc:"The tenant's id"`
	Body KeyRequest
}

type tenantKeyIDInput struct {
	ID  tenant.ID `path:"id" doc:"The tenant's id"`
	Key string    `path:"key" doc:"The key's id"`
}

type keysOutput struct {
	Body KeyList
}

// KeyList are the keys of a tenant.
type KeyList struct {
	Items []tenant.Key `json:"items" nullable:"false"`
}

type keyOutput struct {
	Body tenant.Key
}

type newKeyOutput struct {
	Body NewKey
}

// NewKey is the answer that shows a key, once.
type NewKey struct {
	Secret string     `json:"secret" doc:"The key itself: keep it, it is not shown again"`
	Key    tenant.Key `json:"key"`
}

func (a *API) listKeys(ctx context.Context, p tenant.Principal, of tenant.ID) (*keysOutput, error) {
	keys, err := a.deps.Service.Keys(ctx, p, of)
	if err != nil {
		return nil, err
	}
	if keys == nil {
		keys = []tenant.Key{}
	}
	return &keysOutput{KeyList{keys}}, nil
}

func (a *API) createKey(ctx context.Context, p tenant.Principal, of tenant.ID, r KeyRequest) (*newKeyOutput, error) {
	made, err := a.deps.Service.CreateKey(ctx, p, of, service.KeyRequest(r))
	if err != nil {
		return nil, err
	}
	return &newKeyOutput{NewKey{Secret: made.Secret.Reveal(), Key: made.Key}}, nil
}

func (a *API) revokeKey(ctx context.Context, p tenant.Principal, of tenant.ID, id string) (*keyOutput, error) {
	k, err := a.deps.Service.RevokeKey(ctx, p, of, id)
	if err != nil {
		return nil, err
	}
	return &keyOutput{k}, nil
}

type rotateInput struct {
	ID   string `path:"id" doc:"The key's id"`
	Body *struct {
		Overlap string `json:"overlap,omitempty" doc:"How long the old key goes on, at most 720h; 24h unless told" example:"24h"`
	}
}

func (a *API) rotateKey(ctx context.Context, p tenant.Principal, in *rotateInput) (*newKeyOutput, error) {
	overlap := service.DefaultOverlap
	if in.Body != nil && in.Body.Overlap != "" {
		d, err := time.ParseDuration(in.Body.Overlap)
		if err != nil {
			return nil, fault.Newf(fault.Invalid, "HX-KEY-007", "write it as 24h or 30m", "overlap: %.50q is no duration", in.Body.Overlap)
		}
		overlap = d
	}
	made, err := a.deps.Service.RotateKey(ctx, p, in.ID, overlap)
	if err != nil {
		return nil, err
	}
	return &newKeyOutput{NewKey{Secret: made.Secret.Reveal(), Key: made.Key}}, nil
}

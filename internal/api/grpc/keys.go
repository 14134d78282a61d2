package grpc

import (
	"context"
	"time"

	pb "github.com/hypersdk/hypersdk/api/gen/hypervisord/v1"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

func (d *Door) routeKeys() {
	unary(d, "ListKeys", "list_keys", d.listKeys)
	unary(d, "CreateKey", "create_key", d.createKey)
	unary(d, "RevokeKey", "revoke_key", d.revokeKey)
	unary(d, "RotateKey", "rotate_key", d.rotateKey)
}

func (d *Door) listKeys(ctx context.Context, p tenant.Principal, in *pb.ListKeysRequest) (*pb.ListKeysResponse, error) {
	keys, err := d.deps.Service.Keys(ctx, p, tenant.ID(in.GetTenant()))
	return &pb.ListKeysResponse{Items: listPB[tenant.Key, pb.APIKey](keys)}, err
}

func (d *Door) createKey(ctx context.Context, p tenant.Principal, in *pb.CreateKeyRequest) (*pb.NewKey, error) {
	r := service.KeyRequest{Name: in.GetName(), Role: tenant.Role(in.GetRole()), Scopes: words[tenant.Permission](in.GetScopes())}
	if in.GetExpiresAt() != nil {
		t, err := timeOf(in.GetExpiresAt(), "expires_at")
		if err != nil {
			return nil, err
		}
		r.ExpiresAt = &t
	}
	return newKeyPB(d.deps.Service.CreateKey(ctx, p, tenant.ID(in.GetTenant()), r))
}

func newKeyPB(made service.NewKey, err error) (*pb.NewKey, error) {
	if err != nil {
		return nil, err
	}
	return &pb.NewKey{Secret: made.Secret.Reveal(), Key: toPB(&made.Key, &pb.APIKey{})}, nil
}

func (d *Door) revokeKey(ctx context.Context, p tenant.Principal, in *pb.RevokeKeyRequest) (*pb.APIKey, error) {
	k, err := d.deps.Service.RevokeKey(ctx, p, tenant.ID(in.GetTenant()), in.GetId())
	if err != nil {
		return nil, err
	}
	return toPB(&k, &pb.APIKey{}), nil
}

func (d *Door) rotateKey(ctx context.Context, p tenant.Principal, in *pb.RotateKeyRequest) (*pb.NewKey, error) {
	overlap := service.DefaultOverlap
	if in.GetOverlap() != "" {
		var err error
		if overlap, err = time.ParseDuration(in.GetOverlap()); err != nil {
			return nil, fault.Newf(fault.Invalid, "HX-KEY-007", "write it as 24h or 30m", "overlap: %.50q is no duration", in.GetOverlap())
		}
	}
	return newKeyPB(d.deps.Service.RotateKey(ctx, p, in.GetId(), overlap))
}

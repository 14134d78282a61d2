package service

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// KeyRequest says what a new key shall be.
type KeyRequest struct {
	Name      string
	Role      tenant.Role
	Scopes    []tenant.Permission // empty: all of the role
	ExpiresAt *time.Time          // nil: never
}

// NewKey is a key and, this once, the key itself.
type NewKey struct {
	Key    tenant.Key
	Secret secret.Secret
}

// DefaultOverlap is how long a rotated key goes on unless told otherwise,
// MaxOverlap the longest.
const (
	DefaultOverlap = 24 * time.Hour
	MaxOverlap     = 30 * 24 * time.Hour
)

// CreateKey makes a key for a tenant ("": the principal's own). A principal can
// give only what it has. Kinds: Denied, NotFound, Unprocessable, Exhausted.
func (s *Service) CreateKey(ctx context.Context, p tenant.Principal, of tenant.ID, r KeyRequest) (NewKey, error) {
	scope, err := p.ScopeOf(of, tenant.KeyWrite, tenant.PlatformWrite)
	if err != nil {
		return NewKey{}, err
	}
	k := tenant.Key{Tenant: scope.Tenant(), Name: r.Name, Role: r.Role, Scopes: r.Scopes, ExpiresAt: r.ExpiresAt}
	now := s.deps.Now()
	if err := k.Validate(now); err != nil {
		return NewKey{}, err
	}
	if err := p.MayGrant(k.Permissions()); err != nil {
		return NewKey{}, err
	}
	made, err := sealKey(k, scope.Actor(), now)
	if err != nil {
		return NewKey{}, err
	}
	return s.shownKey(ctx, p, request{operation: "create_key", of: []any{scope.Tenant(), r}}, func(o *tenant.Once, shown *shownKey) error {
		*shown = made.shown()
		return s.store.CreateKey(ctx, scope.Under(o), made.Key)
	})
}

// shownKey is a new key as its answer is remembered: sealed.
type shownKey struct {
	Key    tenant.Key
	Secret string
}

func (k *NewKey) shown() shownKey { return shownKey{Key: k.Key, Secret: k.Secret.Reveal()} }

// shownKey carries out a call that shows a new key.
func (s *Service) shownKey(ctx context.Context, p tenant.Principal, q request, do func(o *tenant.Once, shown *shownKey) error) (NewKey, error) {
	var shown shownKey
	q.secret = true
	if _, err := once(ctx, s.repeats, p, q, &shown, func(o *tenant.Once) error { return do(o, &shown) }); err != nil {
		return NewKey{}, err
	}
	return NewKey{Key: shown.Key, Secret: secret.New(shown.Secret)}, nil
}

// sealKey makes the key itself.
func sealKey(k tenant.Key, actor string, now time.Time) (NewKey, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return NewKey{}, fault.Wrap(err, fault.Internal, "HX-KEY-004", "no random number for a key id", "")
	}
	k.ID, k.CreatedBy, k.CreatedAt = id.String(), actor, now.UTC().Truncate(time.Microsecond)
	made := NewKey{Secret: tenant.NewSecret()}
	k.Seal(made.Secret)
	made.Key = k
	return made, nil
}

// Keys lists the keys of a tenant ("": the principal's own), dead ones of the
// last 90 days too.
func (s *Service) Keys(ctx context.Context, p tenant.Principal, of tenant.ID) ([]tenant.Key, error) {
	scope, err := p.ScopeOf(of, tenant.KeyRead, tenant.PlatformRead)
	if err != nil {
		return nil, err
	}
	if _, err := s.store.Tenant(ctx, scope); err != nil {
		return nil, err
	}
	return s.store.Keys(ctx, scope)
}

// RevokeKey ends a key of a tenant ("": the principal's own) at once. Revoking
// again changes nothing. Kinds: Denied for a key that can do more than the
// principal, NotFound.
func (s *Service) RevokeKey(ctx context.Context, p tenant.Principal, of tenant.ID, id string) (tenant.Key, error) {
	scope, err := p.ScopeOf(of, tenant.KeyWrite, tenant.PlatformWrite)
	if err != nil {
		return tenant.Key{}, err
	}
	var revoked tenant.Key
	q := request{operation: "revoke_key", of: []any{scope.Tenant(), id}}
	_, err = once(ctx, s.repeats, p, q, &revoked, func(o *tenant.Once) error {
		return s.store.ChangeKey(ctx, scope.Under(o), id, func(k, _ *tenant.Key) error {
			if err := p.MayGrant(k.Permissions()); err != nil {
				return err
			}
			if k.RevokedAt == nil {
				k.RevokedAt = s.instant(0)
			}
			revoked = *k
			return nil
		})
	})
	return revoked, err
}

// RotateKey makes the key that follows one of the principal's tenant, with the
// same name, role and scopes and as long a life from now on. The old one ends
// after the overlap, unless it ends before. Kinds: Denied for a key that can do
// more than the principal, NotFound, Conflict (the key is dead), Unprocessable.
func (s *Service) RotateKey(ctx context.Context, p tenant.Principal, id string, overlap time.Duration) (NewKey, error) {
	scope, err := p.Scope(tenant.KeyWrite)
	if err != nil {
		return NewKey{}, err
	}
	if overlap < 0 || overlap > MaxOverlap {
		return NewKey{}, fault.New(fault.Unprocessable, "HX-KEY-005", "the overlap is not between 0 and 720h", "leave it out for 24h")
	}
	q := request{operation: "rotate_key", of: []any{id, overlap}}
	return s.shownKey(ctx, p, q, func(o *tenant.Once, shown *shownKey) error {
		return s.store.ChangeKey(ctx, scope.Under(o), id, func(k, next *tenant.Key) error {
			made, err := s.follow(p, k, scope.Actor(), overlap)
			*next, *shown = made.Key, made.shown()
			return err
		})
	})
}

// follow makes the key that follows k, and ends k after the overlap.
func (s *Service) follow(p tenant.Principal, k *tenant.Key, actor string, overlap time.Duration) (NewKey, error) {
	now := s.deps.Now()
	if err := p.MayGrant(k.Permissions()); err != nil {
		return NewKey{}, err
	}
	if !k.Alive(now) {
		return NewKey{}, fault.New(fault.Conflict, "HX-KEY-006", "the key is revoked or has expired", "make a new key")
	}
	after := tenant.Key{Tenant: k.Tenant, Name: k.Name, Role: k.Role, Scopes: k.Scopes}
	if k.ExpiresAt != nil {
		after.ExpiresAt = s.instant(k.ExpiresAt.Sub(k.CreatedAt))
	}
	if end := s.instant(overlap); k.ExpiresAt == nil || end.Before(*k.ExpiresAt) {
		k.ExpiresAt = end
	}
	return sealKey(after, actor, now)
}

// instant is the time in d as the store keeps it.
func (s *Service) instant(d time.Duration) *time.Time {
	t := s.deps.Now().Add(d).UTC().Truncate(time.Microsecond)
	return &t
}

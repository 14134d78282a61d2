package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const (
	// maxKeys bounds the keys of a tenant that are listed, dead ones too.
	maxKeys = 1000
	// keepDeadKeys is how long a key is listed that was revoked or has expired.
	keepDeadKeys = 90 * 24 * time.Hour
	// touchEvery is how old last_used_at may be.
	touchEvery = time.Minute
)

const (
	keyColumns = `id, tenant, name, prefix, digest, role, scopes, created_by, created_at, expires_at, revoked_at, last_used_at`
	sqlKey     = `SELECT ` + keyColumns + ` FROM api_keys WHERE id = $1 AND tenant = $2`
	sqlKeys    = `SELECT ` + keyColumns + ` FROM api_keys WHERE tenant = $1 ORDER BY id`
	sqlDigest  = `SELECT ` + keyColumns + ` FROM api_keys WHERE digest = $1`
)

var _ auth.Keys = (*Store)(nil)

// keyRow is a key as the table has it.
type keyRow struct {
	tenant.Key
	digest                              []byte
	scopes                              string
	created, expires, revoked, lastUsed sql.NullInt64
}

func (r *keyRow) dest() []any {
	return []any{
		&r.ID, &r.Tenant, &r.Name, &r.Prefix, &r.digest, &r.Role, &r.scopes, &r.CreatedBy, &r.created, &r.expires, &r.revoked, &r.lastUsed,
	}
}

func (r *keyRow) key() tenant.Key {
	copy(r.Digest[:], r.digest)
	for s := range strings.FieldsSeq(r.scopes) {
		r.Scopes = append(r.Scopes, tenant.Permission(s))
	}
	r.CreatedAt = time.UnixMicro(r.created.Int64).UTC()
	r.ExpiresAt, r.RevokedAt, r.LastUsedAt = fromMicros(r.expires), fromMicros(r.revoked), fromMicros(r.lastUsed)
	return r.Key
}

// KeyByDigest implements auth.Keys.
func (s *Store) KeyByDigest(ctx context.Context, d tenant.Digest) (k tenant.Key, found bool, err error) {
	var r keyRow
	err = s.read.QueryRowContext(ctx, sqlDigest, d[:]).Scan(r.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return k, false, nil
	}
	return r.key(), err == nil, classify(err)
}

// KeyUsed implements auth.Keys. It writes nothing within a minute of the last
// use that is noted.
func (s *Store) KeyUsed(ctx context.Context, id string, at time.Time) error {
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE api_keys SET last_used_at = $1 WHERE id = $2 AND (last_used_at IS NULL OR last_used_at <= $3)`,
			at.UnixMicro(), id, at.Add(-touchEvery).UnixMicro())
		return err
	})
}

// Keys implements service.Directory.
func (s *Store) Keys(ctx context.Context, scope tenant.Scope) ([]tenant.Key, error) {
	rows, err := s.read.QueryContext(ctx, sqlKeys, string(scope.Tenant()))
	all, err := scanAll(rows, err, func(rows *sql.Rows) (tenant.Key, error) {
		var r keyRow
		if err := rows.Scan(r.dest()...); err != nil {
			return tenant.Key{}, err
		}
		return r.key(), nil
	})
	return all, classify(err)
}

// CreateKey implements service.Directory.
func (s *Store) CreateKey(ctx context.Context, scope tenant.Scope, k tenant.Key) error {
	return s.directory(ctx, scope, func(t *tx) error {
		if k.Tenant != scope.Tenant() {
			return fault.New(fault.Denied, "HX-STORE-014", "the key belongs to another tenant", "")
		}
		if a, err := t.account(k.Tenant); err != nil {
			return err
		} else if a.State != tenant.Active {
			return errDraining(a.ID)
		}
		if err := t.roomForKey(k.Tenant); err != nil {
			return err
		}
		return t.insertKey(k, event.KeyCreated, scope.Actor())
	})
}

// ChangeKey implements service.Directory.
func (s *Store) ChangeKey(ctx context.Context, scope tenant.Scope, id string, fn func(k, next *tenant.Key) error) error {
	return s.directory(ctx, scope, func(t *tx) error {
		// The row is held until the end: what is read here is what is changed.
		n, err := t.exec(`UPDATE api_keys SET name = name WHERE id = $1 AND tenant = $2`, id, string(scope.Tenant()))
		if err != nil {
			return err
		}
		if n == 0 {
			return errNoKey(id)
		}
		var r keyRow
		if _, err := t.row(sqlKey, []any{id, string(scope.Tenant())}, r.dest()...); err != nil {
			return err
		}
		k, next := r.key(), tenant.Key{}
		revoked := k.RevokedAt
		if err := fn(&k, &next); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE api_keys SET expires_at = $1, revoked_at = $2 WHERE id = $3`,
			nullMicros(k.ExpiresAt), nullMicros(k.RevokedAt), id); err != nil {
			return err
		}
		switch {
		case next.ID != "":
			if err := t.roomForKey(next.Tenant); err != nil {
				return err
			}
			return t.insertKey(next, event.KeyRotated, scope.Actor())
		case revoked == nil && k.RevokedAt != nil:
			return t.append(event.OfAccount(event.KeyRevoked, string(k.Tenant), scope.Actor(), "key:"+k.ID, describeKey(k), t.now))
		}
		return nil
	})
}

// directory is an update on behalf of a scope, which must not be the zero one.
func (s *Store) directory(ctx context.Context, scope caller, fn func(*tx) error) error {
	if scope.Actor() == "" {
		return fault.New(fault.Denied, "HX-STORE-007", "no tenant is given", "")
	}
	return s.w.update(ctx, func(t *tx) error {
		t.origin = scope.Origin()
		return t.once(scope.Once(), func() error { return fn(t) })
	})
}

// caller is who asks for an update.
type caller interface {
	Actor() string
	Origin() tenant.Origin
	Once() *tenant.Once
}

// roomForKey forgets keys that died long ago and counts the others.
func (t *tx) roomForKey(of tenant.ID) error {
	long := t.now.Add(-keepDeadKeys).UnixMicro()
	if _, err := t.exec(`DELETE FROM api_keys WHERE tenant = $1 AND (revoked_at <= $2 OR expires_at <= $2)`, string(of), long); err != nil {
		return err
	}
	var n int
	if _, err := t.row(`SELECT COUNT(*) FROM api_keys WHERE tenant = $1`, []any{string(of)}, &n); err != nil {
		return err
	}
	if n >= maxKeys {
		return fault.Newf(fault.Exhausted, "HX-QUOTA-003", "use fewer keys; revoked and expired ones count for 90 days",
			"the tenant %s has %d API keys and may have %d", of, n, maxKeys)
	}
	return nil
}

func (t *tx) insertKey(k tenant.Key, kind event.Kind, actor string) error {
	scopes := make([]string, len(k.Scopes))
	for i, s := range k.Scopes {
		scopes[i] = string(s)
	}
	_, err := t.exec(`INSERT INTO api_keys (id, tenant, name, prefix, digest, role, scopes, created_by, created_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		k.ID, string(k.Tenant), k.Name, k.Prefix, k.Digest[:], string(k.Role), strings.Join(scopes, " "),
		k.CreatedBy, k.CreatedAt.UnixMicro(), nullMicros(k.ExpiresAt))
	if err != nil {
		return err
	}
	return t.append(event.OfAccount(kind, string(k.Tenant), actor, "key:"+k.ID, describeKey(k), t.now))
}

// describeKey says for the event log which key it is.
func describeKey(k tenant.Key) string {
	return fmt.Sprintf("name=%s role=%s prefix=%s", k.Name, k.Role, k.Prefix)
}

func errNoKey(id string) error {
	return fault.Newf(fault.NotFound, "HX-KEY-003", "list the keys to see their ids", "there is no API key %.100q", id)
}

func errDraining(id tenant.ID) error {
	return fault.Newf(fault.Conflict, "HX-TENANT-005", "", "the tenant %s is being deleted", id)
}

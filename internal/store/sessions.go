package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

var _ auth.SessionStore = (*Store)(nil)

// maxSessions bounds the sessions of one API key: the one that was used longest ago
// makes room.
const maxSessions = 50

const sqlSession = `SELECT digest, credential, tenant, principal, created_at, used_at, idle, expires_at FROM sessions WHERE digest = $1`

// CreateSession implements auth.SessionStore.
func (s *Store) CreateSession(ctx context.Context, by tenant.Principal, n auth.Session, before auth.Digest) error {
	return s.w.update(ctx, func(t *tx) error {
		t.origin = by.Origin()
		if a, err := t.account(n.Tenant); err != nil {
			return err
		} else if a.State != tenant.Active {
			return errDraining(a.ID)
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE expires_at <= $1 OR used_at + idle <= $1`, t.now.UnixMicro()); err != nil {
			return err
		}
		if err := t.endSession(before, n.Tenant, by.Name()); err != nil {
			return err
		}
		if _, err := t.exec(`DELETE FROM sessions WHERE digest IN (SELECT digest FROM sessions WHERE credential = $1 ORDER BY used_at DESC, digest LIMIT 1000 OFFSET $2)`,
			n.Credential[:], maxSessions-1); err != nil {
			return err
		}
		if _, err := t.exec(`INSERT INTO sessions (digest, credential, tenant, principal, created_at, used_at, idle, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			n.Digest[:], n.Credential[:], string(n.Tenant), n.Principal, n.CreatedAt.UnixMicro(), n.UsedAt.UnixMicro(), n.Idle.Microseconds(), n.ExpiresAt.UnixMicro()); err != nil {
			return err
		}
		return t.append(event.OfAccount(event.SessionCreated, string(n.Tenant), by.Name(), subjectOfSession(n.Digest), "", t.now))
	})
}

// Session implements auth.SessionStore.
func (s *Store) Session(ctx context.Context, d auth.Digest) (n auth.Session, found bool, err error) {
	var digest, credential []byte
	var created, used, idle, expires int64
	err = s.read.QueryRowContext(ctx, sqlSession, d[:]).Scan(&digest, &credential, &n.Tenant, &n.Principal, &created, &used, &idle, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return n, false, nil
	}
	copy(n.Digest[:], digest)
	copy(n.Credential[:], credential)
	n.CreatedAt, n.UsedAt, n.ExpiresAt = time.UnixMicro(created).UTC(), time.UnixMicro(used).UTC(), time.UnixMicro(expires).UTC()
	n.Idle = time.Duration(idle) * time.Microsecond
	return n, err == nil, classify(err)
}

// SessionUsed implements auth.SessionStore.
func (s *Store) SessionUsed(ctx context.Context, d auth.Digest, at time.Time) error {
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`UPDATE sessions SET used_at = $1 WHERE digest = $2 AND used_at <= $3`, at.UnixMicro(), d[:], at.Add(-touchEvery).UnixMicro())
		return err
	})
}

// EndSession implements auth.SessionStore.
func (s *Store) EndSession(ctx context.Context, by tenant.Principal, d auth.Digest) error {
	return s.w.update(ctx, func(t *tx) error {
		t.origin = by.Origin()
		return t.endSession(d, by.Tenant(), by.Name())
	})
}

func (t *tx) endSession(d auth.Digest, of tenant.ID, actor string) error {
	n, err := t.exec(`DELETE FROM sessions WHERE digest = $1 AND tenant = $2`, d[:], string(of))
	if err != nil || n == 0 {
		return err
	}
	return t.append(event.OfAccount(event.SessionEnded, string(of), actor, subjectOfSession(d), "", t.now))
}

// subjectOfSession names a session in the event log: by what tells it from others
// and opens nothing.
func subjectOfSession(d auth.Digest) string { return fmt.Sprintf("session:%x", d[:6]) }

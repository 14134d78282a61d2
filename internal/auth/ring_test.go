package auth_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// shelf keeps keys in memory.
type shelf struct {
	keys map[auth.Digest]tenant.Key
	err  error

	mu   sync.Mutex
	uses int
}

func (s *shelf) KeyByDigest(_ context.Context, d auth.Digest) (tenant.Key, bool, error) {
	k, ok := s.keys[d]
	return k, ok, s.err
}

func (s *shelf) KeyUsed(context.Context, string, time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.uses++
	return errors.New("the disk is full")
}

func (s *shelf) add(text string, k tenant.Key) {
	k.ID, k.Tenant, k.Role, k.Name = text, "acme", tenant.Viewer, text
	s.keys[sha256.Sum256([]byte(text))] = k
}

func TestRing(t *testing.T) {
	now := time.Now()
	past, recent := now.Add(-time.Hour), now.Add(-59*time.Second)
	s := &shelf{keys: map[auth.Digest]tenant.Key{}}
	s.add("good", tenant.Key{LastUsedAt: &past})
	s.add("fresh", tenant.Key{LastUsedAt: &recent})
	s.add("dead", tenant.Key{RevokedAt: &past})
	s.add("old", tenant.Key{ExpiresAt: &past})
	r := auth.NewRing(auth.NewKey(sha256.Sum256([]byte(key)), operator()), s, func() time.Time { return now })
	for text, want := range map[string]string{
		key: "default", "good": "acme", "fresh": "acme", "dead": "HX-AUTH-013", "old": "HX-AUTH-014", "unknown": "HX-AUTH-011", "": "HX-AUTH-010",
	} {
		p, err := r.Authenticate(request("X-API-Key", text))
		scope, denied := p.Scope(tenant.JobRead)
		switch {
		case err != nil && (!fault.Is(err, fault.Unauthenticated) || fault.As(err).Code != want || denied == nil):
			t.Errorf("%q: %v", text, err)
		case err == nil && string(scope.Tenant()) != want:
			t.Errorf("%q is of %q", text, scope.Tenant())
		}
	}
	if s.uses != 1 { // of good; a use that could not be noted refuses nobody
		t.Errorf("%d uses were noted", s.uses)
	}

	// A crowd of requests is noted once a minute.
	for range 3 {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := r.Authenticate(request("X-API-Key", "good")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		now = now.Add(time.Minute)
	}
	if s.uses != 3 {
		t.Errorf("%d uses were noted in three minutes", s.uses)
	}

	s.err = fault.New(fault.Unavailable, "HX-TEST-001", "down", "")
	if _, err := r.Authenticate(request("X-API-Key", "good")); !fault.Is(err, fault.Unavailable) {
		t.Error(err)
	}
	if _, err := r.Authenticate(request("X-API-Key", key)); err != nil {
		t.Errorf("the first key depends on the store: %v", err)
	}
}

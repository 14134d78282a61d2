package auth

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/hypersdk/hypersdk/internal/fault"
)

const (
	// keysEvery is how often the issuer is asked at most, whatever comes: tokens that
	// name keys of their own invention cannot make the daemon hammer it.
	keysEvery = 10 * time.Second
	// keysLast is for how long keys count as the issuer's without a new look: a key
	// that it withdrew is taken no longer than that, while the issuer answers.
	keysLast = 10 * time.Minute
	// keysAgain is how often a new look is tried that failed, while the keys that are
	// known still serve.
	keysAgain = time.Minute
	// maxIssuerKeys bounds what an issuer may publish, and minRSA how weak.
	maxIssuerKeys = 32
	minRSA        = 2048 / 8 // bytes
)

// keySet remembers the keys of an issuer. While the issuer does not answer the keys
// that are known go on.
type keySet struct {
	fetch func(ctx context.Context) ([]jose.JSONWebKey, error)
	now   func() time.Time
	told  func(err error) // of each question; nil: nobody wants to know

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	read   time.Time     // when keys were fetched; zero: never
	tried  time.Time     // when the issuer was asked last
	failed error         // what came of it
	flight chan struct{} // closed when the question under way is answered; nil: there is none
}

func newKeySet(fetch func(ctx context.Context) ([]jose.JSONWebKey, error), now func() time.Time) *keySet {
	return &keySet{fetch: fetch, now: now}
}

// find returns the public keys that may have signed a token with this header; a
// token without a key id may be of any. It asks the issuer when it knows none, and
// when what it knows is old. Kind Unavailable if then nobody can tell.
func (s *keySet) find(ctx context.Context, id, algorithm string) ([]any, error) {
	found, old := s.look(id, algorithm)
	if len(found) > 0 && !old {
		return found, nil
	}
	err := s.refresh(ctx, len(found) > 0)
	if found, _ = s.look(id, algorithm); len(found) == 0 && err != nil {
		return nil, err
	}
	return found, nil
}

func (s *keySet) look(id, algorithm string) (found []any, old bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.keys {
		if k := &s.keys[i]; (id == "" || k.KeyID == id) && (k.Algorithm == "" || k.Algorithm == algorithm) && fits(k.Key, algorithm) {
			found = append(found, k.Key)
		}
	}
	return found, s.now().Sub(s.read) >= keysLast
}

// curves are the algorithms of the elliptic curves.
var curves = map[string]string{"P-256": string(jose.ES256), "P-384": string(jose.ES384), "P-521": string(jose.ES512)}

// fits tells whether a key is of the kind that the algorithm needs.
func fits(key any, algorithm string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return strings.HasPrefix(algorithm, "RS") || strings.HasPrefix(algorithm, "PS")
	case *ecdsa.PublicKey:
		return algorithm == curves[k.Curve.Params().Name]
	case ed25519.PublicKey:
		return algorithm == string(jose.EdDSA)
	}
	return false
}

// refresh asks the issuer, once for all who wait, and not again soon: then the last
// answer stands. Who can do without it does not wait for another's question. Kinds
// Unavailable, Cancelled.
func (s *keySet) refresh(ctx context.Context, without bool) error {
	every := keysEvery
	if without {
		every = keysAgain
	}
	s.mu.Lock()
	flight := s.flight
	if ask := s.tried.IsZero() || s.now().Sub(s.tried) >= every; flight == nil && ask {
		s.flight = make(chan struct{})
		s.mu.Unlock()
		keys, err := s.fetch(context.WithoutCancel(ctx)) // the others wait for it, too
		s.settle(keys, err)
		if s.told != nil {
			s.told(err)
		}
		return err
	}
	if flight == nil || without {
		defer s.mu.Unlock()
		return s.failed
	}
	s.mu.Unlock()
	select {
	case <-flight:
	case <-ctx.Done():
		return fault.Wrap(ctx.Err(), fault.Cancelled, "HX-OIDC-010", "the caller did not wait for the issuer's keys", "")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

func (s *keySet) settle(keys []jose.JSONWebKey, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tried, s.failed = s.now(), err
	if err == nil {
		s.keys, s.read = usable(keys), s.tried
	}
	close(s.flight)
	s.flight = nil
}

// usable keeps the public halves of the keys that verify signatures.
func usable(all []jose.JSONWebKey) (keys []jose.JSONWebKey) {
	for _, k := range all {
		if k = k.Public(); !k.Valid() || k.Use != "" && k.Use != "sig" || len(keys) == maxIssuerKeys {
			continue
		}
		if r, ok := k.Key.(*rsa.PublicKey); ok && r.Size() < minRSA {
			continue
		}
		keys = append(keys, k)
	}
	return keys
}

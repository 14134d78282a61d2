package auth

import (
	"context"
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Keys knows the API keys that were made since the first one.
type Keys interface {
	// KeyByDigest finds a key, dead ones too.
	KeyByDigest(ctx context.Context, d Digest) (k tenant.Key, found bool, err error)
	// KeyUsed notes when a key was used last, to the minute.
	KeyUsed(ctx context.Context, id string, at time.Time) error
}

// Ring lets in the holder of the key file's key, and those of the keys that are
// stored.
type Ring struct {
	first *Key
	keys  Keys
	now   func() time.Time

	mu    sync.Mutex
	noted map[string]time.Time // by key id: when its use was noted last
}

const (
	noteEvery = time.Minute // how often the use of a key is noted at most
	maxNoted  = 10_000      // keys remembered; the store refuses what is noted twice
)

// NewRing makes the authenticator. now may be nil.
func NewRing(first *Key, keys Keys, now func() time.Time) *Ring {
	if now == nil {
		now = time.Now
	}
	return &Ring{first: first, keys: keys, now: now, noted: make(map[string]time.Time)}
}

// Authenticate looks for the key where Key.Authenticate does. Kind
// Unauthenticated, with the reason if the key was good once; any other kind is
// the store's.
func (r *Ring) Authenticate(req *http.Request) (tenant.Principal, error) {
	p, wrong := r.first.Authenticate(req)
	given := credential(req.Header)
	if wrong == nil || given == "" {
		return p, wrong
	}
	k, found, err := r.keys.KeyByDigest(req.Context(), digestOf(given))
	if err != nil {
		return tenant.Principal{}, err
	}
	if !found {
		return tenant.Principal{}, wrong
	}
	if p, err = k.Principal(r.now()); err != nil {
		return tenant.Principal{}, err
	}
	r.note(req.Context(), &k)
	return p, nil
}

// Holder returns whose key has the digest, if it is good now. Kind Unauthenticated;
// any other kind is the store's.
func (r *Ring) Holder(ctx context.Context, d Digest) (tenant.Principal, error) {
	if subtle.ConstantTimeCompare(d[:], r.first.digest[:]) == 1 {
		return r.first.principal, nil
	}
	k, found, err := r.keys.KeyByDigest(ctx, d)
	if err != nil {
		return tenant.Principal{}, err
	}
	if !found {
		return tenant.Principal{}, fault.New(fault.Unauthenticated, "HX-AUTH-036", "the API key is not there any more", "sign in again with another one")
	}
	return k.Principal(r.now())
}

// note writes at most once a minute. The request does not depend on it: what is
// lost is noted with the next.
func (r *Ring) note(ctx context.Context, k *tenant.Key) {
	now := r.now()
	if k.LastUsedAt != nil && now.Sub(*k.LastUsedAt) < noteEvery {
		return
	}
	r.mu.Lock()
	last, noted := r.noted[k.ID]
	due := !noted || now.Sub(last) >= noteEvery
	if due {
		if len(r.noted) >= maxNoted {
			clear(r.noted)
		}
		r.noted[k.ID] = now
	}
	r.mu.Unlock()
	if due {
		_ = r.keys.KeyUsed(ctx, k.ID, now)
	}
}

package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// The cookies of a session. That of TLS has a name that browsers let nobody set but
// this very host, over TLS; each is taken only from where it belongs.
const (
	secureCookie = "__Host-hypervisord"
	plainCookie  = "hypervisord"
)

// HeaderCSRF carries the token of a session with each change.
const HeaderCSRF = "X-Csrf-Token"

// Session is a browser that the holder of an API key signed in. It can do what the
// key can, and ends with it.
type Session struct {
	Digest     Digest // of its id, which only the cookie has
	Credential Digest // of the key
	Tenant     tenant.ID
	Principal  string
	CreatedAt  time.Time
	UsedAt     time.Time     // to the minute
	Idle       time.Duration // without use that ends it
	ExpiresAt  time.Time     // used or not
}

// over tells whether the session has ended.
func (s *Session) over(now time.Time) bool {
	return !now.Before(s.ExpiresAt) || now.Sub(s.UsedAt) >= s.Idle
}

// SessionStore keeps sessions, for all nodes and over restarts.
type SessionStore interface {
	// CreateSession stores a session with its event, in place of the one that the
	// browser had, if it is the same tenant's, and of the oldest ones of the key if
	// there are many.
	CreateSession(ctx context.Context, by tenant.Principal, s Session, before Digest) error
	// Session finds a session, one that is over too.
	Session(ctx context.Context, d Digest) (s Session, found bool, err error)
	// SessionUsed notes when a session was used last, to the minute.
	SessionUsed(ctx context.Context, d Digest, at time.Time) error
	// EndSession forgets a session, with an event if it was there.
	EndSession(ctx context.Context, by tenant.Principal, d Digest) error
}

// SessionRules bound sessions.
type SessionRules struct {
	Idle     time.Duration              // without use
	Lifetime time.Duration              // in all
	Secure   func(r *http.Request) bool // whether the browser speaks TLS
}

// Sessions lets in browsers that carry the cookie of a session, and whoever the
// authenticator behind it lets in. A request that brings a credential of its own is
// judged by that alone.
type Sessions struct {
	next interface {
		Authenticate(r *http.Request) (tenant.Principal, error)
	}
	ring  *Ring
	store SessionStore
	rules SessionRules
	now   func() time.Time

	mu    sync.Mutex
	noted map[Digest]time.Time // when a use was noted last
}

// NewSessions makes the authenticator: ring knows the keys, next lets in who brings
// any other credential, too. now may be nil.
func NewSessions(ring *Ring, next interface {
	Authenticate(r *http.Request) (tenant.Principal, error)
}, store SessionStore, rules SessionRules, now func() time.Time,
) *Sessions {
	if now == nil {
		now = time.Now
	}
	return &Sessions{next: next, ring: ring, store: store, rules: rules, now: now, noted: make(map[Digest]time.Time)}
}

// HasSession tells whether a request carries the cookie of a session.
func HasSession(r *http.Request) bool {
	for _, name := range []string{secureCookie, plainCookie} {
		if _, err := r.Cookie(name); err == nil {
			return true
		}
	}
	return false
}

// Authenticate looks for a credential, then for a session. Kinds besides those of the
// authenticator behind it: Unauthenticated (the session is over), Denied (a page of
// another origin asks, or the token is not there).
func (s *Sessions) Authenticate(r *http.Request) (tenant.Principal, error) {
	id := s.cookie(r)
	if id == "" || r.Header.Get("Authorization") != "" || r.Header.Get("X-Api-Key") != "" {
		return s.next.Authenticate(r)
	}
	now := s.now()
	session, found, err := s.store.Session(r.Context(), digestOf(id))
	if err != nil {
		return tenant.Principal{}, err
	}
	if !found || session.over(now) {
		return tenant.Principal{}, fault.New(fault.Unauthenticated, "HX-AUTH-030", "the session is over", "sign in again")
	}
	p, err := s.ring.Holder(r.Context(), session.Credential)
	if err != nil {
		return tenant.Principal{}, err
	}
	if err := s.ownPage(r, id); err != nil {
		return tenant.Principal{}, err
	}
	s.note(r.Context(), &session, now)
	return p, nil
}

// ownPage tells whether a page of this daemon makes the request. A browser sends the
// cookie along whoever asks for it; SameSite stops other sites, and this also other
// ports of this host. Kind Denied.
func (s *Sessions) ownPage(r *http.Request, id string) error {
	origin := r.Header.Get("Origin")
	u, err := url.Parse(origin)
	foreign := origin != "" && (err != nil || !strings.EqualFold(u.Host, r.Host) || (u.Scheme == "https") != s.rules.Secure(r))
	if site := r.Header.Get("Sec-Fetch-Site"); foreign || site != "" && site != "same-origin" && site != "none" {
		return fault.New(fault.Denied, "HX-AUTH-031", "a page of another origin may not use the session", "call the API from your own program, with an API key")
	}
	switch {
	case strings.EqualFold(r.Header.Get("Upgrade"), "websocket"):
		if origin == "" { // no page can leave it out, nor set another header
			return fault.New(fault.Denied, "HX-AUTH-032", "a WebSocket with a session says no origin", "use an API key outside of a browser")
		}
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		if !hmac.Equal([]byte(r.Header.Get(HeaderCSRF)), []byte(csrfToken(id))) {
			return fault.New(fault.Denied, "HX-AUTH-033", "the header "+HeaderCSRF+" of the session is missing or wrong", "send the csrf_token of GET /session with each change")
		}
	}
	return nil
}

// csrfToken is what a page proves with that it can read the answers of this daemon.
func csrfToken(id string) string {
	mac := hmac.New(sha256.New, []byte(id))
	mac.Write([]byte("csrf"))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

// note writes at most once a minute. The request does not depend on it.
func (s *Sessions) note(ctx context.Context, session *Session, now time.Time) {
	if now.Sub(session.UsedAt) < noteEvery {
		return
	}
	s.mu.Lock()
	last, noted := s.noted[session.Digest]
	due := !noted || now.Sub(last) >= noteEvery
	if due {
		if len(s.noted) >= maxNoted {
			clear(s.noted)
		}
		s.noted[session.Digest] = now
	}
	s.mu.Unlock()
	if due {
		_ = s.store.SessionUsed(ctx, session.Digest, now)
	}
}

// cookie returns the id of the session, or "".
func (s *Sessions) cookie(r *http.Request) string {
	c, err := r.Cookie(s.name(r))
	if err != nil {
		return ""
	}
	return c.Value
}

func (s *Sessions) name(r *http.Request) string {
	if s.rules.Secure(r) {
		return secureCookie
	}
	return plainCookie
}

// Begin signs the browser in that brings an API key, as its holder p: always with a
// new id, whatever cookie it brings. Kind Unprocessable for another credential.
func (s *Sessions) Begin(r *http.Request, p tenant.Principal) (*http.Cookie, Session, string, error) {
	given := credential(r.Header)
	holder, err := s.ring.Holder(r.Context(), digestOf(given))
	if fault.Is(err, fault.Unauthenticated) || err == nil && holder.Name() != p.Name() {
		err = fault.New(fault.Unprocessable, "HX-AUTH-034", "only an API key can be exchanged for a session", "send one as `Authorization: Bearer KEY`")
	}
	if err != nil {
		return nil, Session{}, "", err
	}
	var random [32]byte
	_, _ = rand.Read(random[:]) // never fails
	id := base64.RawURLEncoding.EncodeToString(random[:])
	now := s.now().UTC().Truncate(time.Microsecond)
	session := Session{
		Digest: digestOf(id), Credential: digestOf(given), Tenant: p.Tenant(), Principal: p.Name(),
		CreatedAt: now, UsedAt: now, Idle: s.rules.Idle, ExpiresAt: now.Add(s.rules.Lifetime),
	}
	if err := s.store.CreateSession(r.Context(), p, session, digestOf(s.cookie(r))); err != nil {
		return nil, Session{}, "", err
	}
	return s.bake(r, id, s.rules.Lifetime), session, csrfToken(id), nil
}

// Current returns the session that the request came by, and the token for changes.
// Kind NotFound if it came by another way.
func (s *Sessions) Current(r *http.Request) (Session, string, error) {
	id := s.cookie(r)
	if id != "" && r.Header.Get("Authorization") == "" && r.Header.Get("X-Api-Key") == "" {
		session, found, err := s.store.Session(r.Context(), digestOf(id))
		if err != nil || found {
			return session, csrfToken(id), err
		}
	}
	return Session{}, "", fault.New(fault.NotFound, "HX-AUTH-035", "the request came by no session", "sign in by POST /session")
}

// End ends the session that the request came by. The cookie tells the browser to
// forget it. Kind NotFound.
func (s *Sessions) End(r *http.Request, p tenant.Principal) (*http.Cookie, error) {
	session, _, err := s.Current(r)
	if err != nil {
		return nil, err
	}
	return s.bake(r, "", -time.Second), s.store.EndSession(r.Context(), p, session.Digest)
}

func (s *Sessions) bake(r *http.Request, id string, lives time.Duration) *http.Cookie {
	return &http.Cookie{ //nolint:gosec // without TLS a secure cookie would not come back
		Name: s.name(r), Value: id, Path: "/", MaxAge: int(lives / time.Second),
		Secure: s.rules.Secure(r), HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
}

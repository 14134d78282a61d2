package vcsim

import (
	"crypto/subtle"
	"net/http"
	"sync"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

// sessions adds to the simulator's session manager what it lacks: idle expiry
// that /folder requests renew, and expiry on demand.
type sessions struct {
	registry *simulator.Registry
	user     string
	idle     time.Duration

	mu   sync.Mutex
	last map[string]time.Time // by session key
}

func newSessions(r *simulator.Registry, user string, idle time.Duration) *sessions {
	return &sessions{registry: r, user: user, idle: idle, last: make(map[string]time.Time)}
}

// view makes a context with a session of the server's own.
func (t *sessions) view() *simulator.Context {
	return &simulator.Context{Map: t.registry, Session: &simulator.Session{
		UserSession: types.UserSession{Key: "vcsim"}, Registry: simulator.NewRegistry(), Map: t.registry,
	}}
}

// use renews a session and tells whether it is alive.
func (t *sessions) use(key string) bool {
	if !t.active(key) {
		return false
	}
	now := time.Now()
	t.mu.Lock()
	last, seen := t.last[key]
	expired := seen && now.Sub(last) > t.idle
	if expired {
		delete(t.last, key)
	} else {
		t.last[key] = now
	}
	t.mu.Unlock()
	if expired {
		t.terminate([]string{key})
	}
	return !expired
}

// active tells whether the simulator knows the session.
func (t *sessions) active(key string) bool {
	res := t.registry.SessionManager().SessionIsActive(t.view(), &types.SessionIsActive{SessionID: key, UserName: t.user})
	body, ok := res.(*methods.SessionIsActiveBody)
	return ok && body.Res != nil && body.Res.Returnval
}

// expireAll ends every session, as a restart of vCenter does.
func (t *sessions) expireAll() {
	ctx := t.view()
	sm, ok := ctx.Session.Get(t.registry.SessionManager().Self).(*simulator.SessionManager)
	if !ok {
		return
	}
	for i := range sm.SessionList {
		t.terminate([]string{sm.SessionList[i].Key})
	}
	t.mu.Lock()
	clear(t.last)
	t.mu.Unlock()
}

func (t *sessions) terminate(keys []string) {
	t.registry.SessionManager().TerminateSession(t.view(), &types.TerminateSession{SessionId: keys})
}

// ExpireSessions ends every session: the next SOAP call with an old cookie is
// answered with NotAuthenticated, the next /folder request with 401. Leases
// stay until they time out, but no later session can reach them.
func (s *Server) ExpireSessions() { s.sessions.expireAll() }

// authenticated tells whether a request carries a live session cookie or, as
// vCenter accepts it on /folder, valid basic authentication.
func (s *Server) authenticated(r *http.Request) bool {
	if c, err := r.Cookie(soap.SessionCookieName); err == nil && s.sessions.use(c.Value) {
		return true
	}
	user, pass, ok := r.BasicAuth()
	return ok && equal(user, s.opts.Username) && equal(pass, s.opts.Password)
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// serveSDK passes a SOAP call on to the simulator.
func (s *Server) serveSDK(w http.ResponseWriter, r *http.Request) {
	if !s.admit(w, r, site{transport: SDK}) {
		return
	}
	if c, err := r.Cookie(soap.SessionCookieName); err == nil {
		s.sessions.use(c.Value) // the simulator refuses it from here on if it is not alive
	}
	s.service.ServeSDK(w, r)
}

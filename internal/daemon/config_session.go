package daemon

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/auth"
)

// Bounds of auth.session_idle and auth.session_lifetime.
const (
	minSessionIdle     = 2 * time.Minute // its use is noted to the minute
	maxSessionLifetime = 30 * 24 * time.Hour
)

func defaultAuth() AuthConfig {
	return AuthConfig{SessionIdle: 30 * time.Minute, SessionLifetime: 12 * time.Hour}
}

func (a AuthConfig) check() (wrong []string) {
	if a.SessionIdle < minSessionIdle || a.SessionIdle > maxSessionLifetime {
		wrong = append(wrong, "auth.session_idle: 2m to 720h")
	}
	if a.SessionLifetime < a.SessionIdle || a.SessionLifetime > maxSessionLifetime {
		wrong = append(wrong, "auth.session_lifetime: auth.session_idle to 720h")
	}
	return wrong
}

// withSessions makes the authenticator of browsers, before the one of all others.
func (d *Daemon) withSessions(ring *auth.Ring, others *auth.Credentials) *auth.Sessions {
	d.sessions = auth.NewSessions(ring, others, d.engine.store, auth.SessionRules{
		Idle: d.cfg.Auth.SessionIdle, Lifetime: d.cfg.Auth.SessionLifetime, Secure: d.cfg.Security.proxies().TLS,
	}, nil)
	return d.sessions
}

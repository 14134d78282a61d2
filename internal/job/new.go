package job

import (
	"cmp"
	"time"
)

// DefaultMaxAttempts is how often a job is tried unless its spec says otherwise.
const DefaultMaxAttempts = 3

// WithDefaults fills in what the user left out and the engine decides by itself.
func (s Spec) WithDefaults() Spec {
	s.Provider = cmp.Or(s.Provider, "vsphere")
	s.Format = cmp.Or(s.Format, "ova")
	s.Priority = cmp.Or(s.Priority, Normal)
	if s.VerifyChecksum != nil && !*s.VerifyChecksum {
		s.Verify = cmp.Or(s.Verify, "none")
	}
	s.Verify = cmp.Or(s.Verify, "full")
	s.Transport = cmp.Or(s.Transport, "auto")
	s.MaxAttempts = cmp.Or(s.MaxAttempts, DefaultMaxAttempts)
	return s
}

// New makes a pending job of a valid spec that has its defaults.
func New(id, tenant string, s Spec, now time.Time) Job {
	ready := *timeRef(now)
	if s.NotBefore != nil && s.NotBefore.After(ready) {
		ready = *timeRef(*s.NotBefore)
	}
	return Job{
		ID: id, Tenant: tenant, Spec: s, State: Pending, Priority: s.Priority,
		MaxAttempts: s.MaxAttempts, ReadyAt: ready, SubmittedAt: *timeRef(now), NotBefore: s.NotBefore,
	}
}

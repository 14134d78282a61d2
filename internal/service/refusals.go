package service

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Refused attempts cost their senders nothing: what is kept of them is bounded.
const (
	refusalsEvery = time.Second      // how often they are written
	refusalQuiet  = time.Minute      // for which repetitions of one that was written are only counted
	maxRefusals   = 256              // different ones within a minute; the rest are counted together
	refusalStop   = 10 * time.Second // to write the last ones
)

// Refusals writes refused attempts into the log: the first of a kind at once,
// repetitions as a count once a minute. However many come, it writes at most
// maxRefusals and one more in a minute.
type Refusals struct {
	store AuditStore
	now   func() time.Time
	log   *slog.Logger

	mu     sync.Mutex
	known  map[refusalKey]*refused
	others refused // those that there was no room for
}

// refusalKey is what makes two attempts alike.
type refusalKey struct {
	tenant, actor, operation, code, credential, ip string
}

// refused counts attempts that are alike.
type refused struct {
	last event.Refusal // Count is what is not written yet
	due  time.Time     // not written before
}

// NewRefusals makes Refusals. now nil: time.Now.
func NewRefusals(store AuditStore, now func() time.Time, log *slog.Logger) *Refusals {
	if now == nil {
		now = time.Now
	}
	return &Refusals{store: store, now: now, log: log, known: map[refusalKey]*refused{}}
}

// Note takes an attempt. It never blocks on the store.
func (r *Refusals) Note(a event.Refusal) {
	a.Time = r.now()
	key := refusalKey{string(a.Tenant), a.Actor, a.Operation, a.Code, a.Credential, a.Origin.IP}
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.known[key]
	switch {
	case k != nil:
	case len(r.known) < maxRefusals:
		k = &refused{}
		r.known[key] = k
	default:
		k = &r.others
		a = event.Refusal{Actor: "several", Operation: "several", Code: "HX-AUDIT-019", Reason: "more different attempts than are told apart", Time: a.Time}
	}
	a.Count = k.last.Count + 1
	k.last = a
}

// Run writes them until ctx is done, and what is left then.
func (r *Refusals) Run(ctx context.Context) error {
	tick := time.NewTicker(refusalsEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), refusalStop)
			defer cancel()
			r.write(last, r.take(true))
			return nil
		case <-tick.C:
			r.write(ctx, r.take(false))
		}
	}
}

// take returns what is due, and forgets what was quiet for long enough.
func (r *Refusals) take(all bool) (due []event.Refusal) {
	now := r.now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, k := range r.known {
		if !all && now.Before(k.due) {
			continue
		}
		if k.last.Count == 0 {
			delete(r.known, key)
			continue
		}
		due = append(due, k.last)
		k.last.Count, k.due = 0, now.Add(refusalQuiet)
	}
	if k := &r.others; k.last.Count > 0 && (all || !now.Before(k.due)) {
		due = append(due, k.last)
		k.last.Count, k.due = 0, now.Add(refusalQuiet)
	}
	return due
}

func (r *Refusals) write(ctx context.Context, due []event.Refusal) {
	if len(due) == 0 {
		return
	}
	if err := r.store.AppendRefusals(ctx, due); err != nil {
		r.log.LogAttrs(ctx, slog.LevelError, "refused attempts are missing in the audit log", slog.Int("entries", len(due)),
			slog.String("error", fault.Detail(err)))
	}
}

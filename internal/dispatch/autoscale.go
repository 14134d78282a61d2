package dispatch

import (
	"cmp"
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
)

// Backlog tells what waits.
type Backlog interface {
	// Ready counts the jobs of all tenants whose time has come, up to limit, and
	// tells since when the oldest of those that it counted waits (zero: none does).
	Ready(ctx context.Context, limit int) (n int, oldest time.Time, err error)
}

// readyLimit is how far waiting jobs are counted: more than any pool takes at
// once.
const readyLimit = 1000

// AutoscaleOptions set an Autoscaler up.
type AutoscaleOptions struct {
	Bounds  admission.Bounds
	Short   func() admission.Resource         // what the machine runs short of; nil: never
	Every   time.Duration                     // default 1 s
	Changed func(from, to int, reason string) // observes; may be nil
}

// Autoscaler sets the size of a dispatcher's pool by what waits.
type Autoscaler struct {
	d       *Dispatcher
	backlog Backlog
	o       AutoscaleOptions
	spare   time.Time // since when there are more workers than needed; zero: there are not
}

// NewAutoscaler makes an Autoscaler for a dispatcher that does not run yet. The
// pool starts with the least size.
func NewAutoscaler(d *Dispatcher, b Backlog, o AutoscaleOptions) *Autoscaler {
	o.Every = cmp.Or(o.Every, time.Second)
	if o.Short == nil {
		o.Short = func() admission.Resource { return admission.Ample }
	}
	d.mu.Lock()
	d.bounds, d.scaling = o.Bounds, admission.Scaling{Size: o.Bounds.Min, Reason: admission.Steady}
	d.mu.Unlock()
	return &Autoscaler{d: d, backlog: b, o: o}
}

// Run works until ctx is done, then returns nil.
func (a *Autoscaler) Run(ctx context.Context) error {
	tick := time.NewTicker(a.o.Every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.look(ctx)
		}
	}
}

// look decides once. If the store does not answer, the pool stays as it is.
func (a *Autoscaler) look(ctx context.Context) {
	ready, oldest, err := a.backlog.Ready(ctx, readyLimit)
	if err != nil {
		a.d.report(ctx, "count what waits", err)
		return
	}
	now := a.d.o.Now()
	size, busy := a.d.Workers()
	l := admission.Load{Size: size, Busy: busy, Backlog: ready, Short: a.o.Short()}
	if !oldest.IsZero() {
		l.OldestWait = max(0, now.Sub(oldest))
	}
	switch {
	case busy >= size:
		a.spare = time.Time{}
	case a.spare.IsZero():
		a.spare = now
	default:
		l.Idle = now.Sub(a.spare)
	}
	bounds, _ := a.d.Scaling()
	s := bounds.Scale(l)
	a.d.resize(s)
	if s.Size != size {
		a.spare = time.Time{}
		a.d.o.Log.InfoContext(ctx, "the pool changes its size", "from", size, "to", s.Size, "reason", s.Reason,
			"busy", busy, "waiting", ready, "oldest_wait", l.OldestWait)
		if a.o.Changed != nil {
			a.o.Changed(size, s.Size, s.Reason)
		}
	}
}

// resize sets how many jobs run at once. Jobs beyond that go on to their end, and
// no other takes their place.
func (d *Dispatcher) resize(s admission.Scaling) {
	d.mu.Lock()
	grown := s.Size > d.scaling.Size
	d.scaling = s
	d.mu.Unlock()
	if grown {
		d.wakeUp()
	}
}

// SetBounds changes between what the pool scales; Min and Max alike are its size.
func (d *Dispatcher) SetBounds(b admission.Bounds) {
	d.mu.Lock()
	s := d.scaling
	d.bounds, s.Size = b, b.Clamp(s.Size)
	d.mu.Unlock()
	d.resize(s)
}

// Scaling tells between what the pool scales, and why it has the size that it has.
func (d *Dispatcher) Scaling() (admission.Bounds, admission.Scaling) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.bounds, d.scaling
}

// wakeUp makes Run look for work.
func (d *Dispatcher) wakeUp() {
	select {
	case d.free <- struct{}{}:
	default:
	}
}

package dispatch

import (
	"cmp"
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// Options set a Dispatcher up. Zero values get the defaults that are named.
type Options struct {
	Node           string           // name of this node, unique among those on one store; default "local"
	Workers        int              // jobs that run at once, until an Autoscaler says otherwise; default 2
	Lease          time.Duration    // how long a job is safe from others without a sign of life; 15 s
	Heartbeat      time.Duration    // how often progress is stored at most; 1 s
	Poll           time.Duration    // how often to look for work without being woken; 1 s
	CleanupTimeout time.Duration    // one try to clean up; 2 min
	MaxCrashes     int              // workers that a job may lose without coming further; 10
	RetryBase      time.Duration    // pause before the second attempt, doubled for each further one; 5 s
	RetryMax       time.Duration    // the longest pause; 5 min
	Now            func() time.Time // time.Now
	Rand           func() float64   // in [0, 1), for jitter
	Hooks          Hooks
	Log            *slog.Logger // discards
}

// Hooks observe the dispatcher. Each may be nil, is called after the commit of
// what it tells, and must return quickly.
type Hooks struct {
	// Enter is called before a run begins, or a clean-up, and gives the context
	// of all that it does. leave (nil: not) is called when all of it is over, with
	// the trigger that the run ended by, or "lost".
	Enter       func(ctx context.Context, l Lease, cleanup bool) (inner context.Context, leave func(outcome string))
	Started     func(j job.Job)
	Retried     func(j job.Job) // j.Error says why, j.NotBefore when
	Interrupted func(j job.Job)
	Yielded     func(j job.Job)                     // its host had no free slot
	Finished    func(j job.Job, took time.Duration) // since the first start
}

// maxCleanups is how many clean-ups of cancelled jobs run at once, beside the
// workers: a cancel does not wait for a free one.
const maxCleanups = 4

func (o Options) withDefaults() Options {
	o.Node = cmp.Or(o.Node, "local")
	o.Workers = cmp.Or(o.Workers, 2)
	o.Lease = cmp.Or(o.Lease, 15*time.Second)
	o.Heartbeat = cmp.Or(o.Heartbeat, time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.CleanupTimeout = cmp.Or(o.CleanupTimeout, 2*time.Minute)
	o.MaxCrashes = cmp.Or(o.MaxCrashes, 10)
	o.RetryBase = cmp.Or(o.RetryBase, 5*time.Second)
	o.RetryMax = cmp.Or(o.RetryMax, 5*time.Minute)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Rand == nil {
		o.Rand = rand.Float64
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// pause is how long to wait after the given attempt (from 1) failed: doubled
// each time, with half of it by chance so that jobs that failed together do not
// come back together.
func (o Options) pause(attempt int) time.Duration {
	d := o.RetryMax
	if n := max(0, attempt-1); n < 30 && o.RetryBase<<n < o.RetryMax && o.RetryBase<<n > 0 {
		d = o.RetryBase << n
	}
	return d/2 + time.Duration(o.Rand()*float64(d/2))
}

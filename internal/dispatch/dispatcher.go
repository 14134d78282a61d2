package dispatch

import (
	"context"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Feed wakes the dispatcher when the queue has changed. Looking every
// Options.Poll is what is relied on; the feed only makes it quick.
type Feed interface {
	Watch(topic event.Topic) (wake <-chan struct{}, stop func())
}

// Dispatcher claims jobs and runs them.
type Dispatcher struct {
	q      Queue
	feed   Feed
	runner Runner
	o      Options

	mu       sync.Mutex
	runs     map[string]*run // by job id
	bounds   admission.Bounds
	scaling  admission.Scaling
	busy     int            // workers at work
	ending   int            // runs whose work is done, and the store is to be told
	cleaning int            // clean-ups at work
	cleaned  bool           // a clean-up has ended since the last look for more
	free     chan struct{}  // a token when a worker became free
	wg       sync.WaitGroup // of the runs
}

// New makes a Dispatcher.
func New(q Queue, feed Feed, r Runner, o Options) *Dispatcher {
	o = o.withDefaults()
	return &Dispatcher{
		q: q, feed: feed, runner: r, o: o,
		bounds: admission.Bounds{Min: o.Workers, Max: o.Workers}, scaling: admission.Scaling{Size: o.Workers, Reason: admission.Fixed},
		runs: make(map[string]*run), free: make(chan struct{}, 1),
	}
}

// Workers tells how many jobs can run at once and how many do.
func (d *Dispatcher) Workers() (size, busy int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.scaling.Size, d.busy
}

// Run works until ctx is done. Then it claims nothing more, tells the running
// jobs to stop (ErrShutdown), gives them back and returns nil when all of them
// have returned. Call it once.
func (d *Dispatcher) Run(ctx context.Context) error {
	wake, stop := d.feed.Watch(event.Queue)
	defer stop()
	tick := time.NewTicker(d.o.Poll)
	defer tick.Stop()
	d.takeBack(ctx)
	for why := polled; ctx.Err() == nil; {
		d.step(ctx, why)
		select {
		case <-ctx.Done():
		case <-wake:
			why = woken
		case <-d.free:
			why = d.gather(wake)
		case <-tick.C:
			why = polled
		}
	}
	for _, r := range d.all() {
		r.endLease(ErrShutdown)
	}
	d.wg.Wait()
	return nil
}

// takeBack gives back what an earlier life of this node had. If the store does
// not answer, the leases run out by themselves.
func (d *Dispatcher) takeBack(ctx context.Context) {
	n, err := d.q.TakeBack(ctx, d.o.Node)
	d.report(ctx, "take back the jobs of the last run", err)
	if n > 0 {
		d.o.Log.InfoContext(ctx, "jobs of the last run go on", "jobs", n)
	}
}

// Why there is something to do.
type reason int

const (
	freed  reason = iota // a worker became free
	woken                // the queue has changed
	polled               // whatever it may be
)

// gatherTime is how long a worker that became free waits at most for others. What a
// claim costs hardly depends on the number of jobs, and short jobs end in crowds.
const gatherTime = 2 * time.Millisecond

// gather waits until all workers are free, for a moment, unless there is news of the
// queue.
func (d *Dispatcher) gather(wake <-chan struct{}) reason {
	end := time.NewTimer(gatherTime)
	defer end.Stop()
	for {
		if _, busy := d.Workers(); busy == 0 {
			return freed
		}
		select {
		case <-wake:
			return woken
		case <-d.free:
		case <-end.C:
			return freed
		}
	}
}

// step does what there is to do. A cancel wakes it, so it does not look for those
// each time that a worker becomes free.
func (d *Dispatcher) step(ctx context.Context, why reason) {
	if why == polled {
		n, err := d.q.Reap(ctx)
		d.report(ctx, "reap", err)
		if n > 0 {
			d.o.Log.WarnContext(ctx, "leases ran out", "jobs", n)
		}
	}
	if why != freed {
		d.passCancels(ctx)
	}
	if n := d.cleanups(why); n > 0 {
		d.claim(ctx, n, true)
	}
	if n := d.room(); n > 0 {
		d.claim(ctx, n, false)
	}
}

// passCancels tells the running jobs that they are to be cancelled.
func (d *Dispatcher) passCancels(ctx context.Context) {
	if len(d.all()) == 0 {
		return
	}
	ids, err := d.q.Cancelling(ctx, d.o.Node)
	d.report(ctx, "look for cancelled jobs", err)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, id := range ids {
		if r := d.runs[id]; r != nil {
			r.stop(ErrCancelRequested)
		}
	}
}

// room returns how many more jobs may run. A worker is free when its work is done:
// the next job starts while the end of the last one is stored. If the store takes
// no ends, they do not pile up.
func (d *Dispatcher) room() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.scaling.Size - d.busy - max(0, d.ending-d.scaling.Size)
}

// cleanups returns how many more clean-ups to look for.
func (d *Dispatcher) cleanups(why reason) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	look := why != freed || d.cleaned
	d.cleaned = false
	if !look {
		return 0
	}
	return maxCleanups - d.cleaning
}

func (d *Dispatcher) claim(ctx context.Context, n int, cleanup bool) {
	claim := d.q.Claim
	if cleanup {
		claim = d.q.ClaimCleanup
	}
	before := time.Now()
	leases, err := claim(ctx, d.o.Node, d.o.Lease, n)
	d.report(ctx, "claim", err)
	for _, l := range leases {
		d.start(ctx, l, before, cleanup)
	}
}

// start begins a run in a goroutine of its own, which Run waits for.
func (d *Dispatcher) start(ctx context.Context, l Lease, claimed time.Time, cleanup bool) {
	base, leave := context.WithoutCancel(ctx), (func(string))(nil)
	if enter := d.o.Hooks.Enter; enter != nil {
		base, leave = enter(base, l, cleanup)
	}
	r := newRun(base, d, l, claimed)
	r.cleanupOnly, r.leave = cleanup, leave
	d.mu.Lock()
	r.before = d.runs[l.Job.ID]
	d.runs[l.Job.ID] = r
	d.begun(cleanup)
	d.mu.Unlock()
	if h := d.o.Hooks.Started; h != nil && !cleanup {
		h(l.Job)
	}
	d.wg.Go(func() {
		r.do()
		d.mu.Lock()
		if d.runs[l.Job.ID] == r { // a newer run may wait for this one
			delete(d.runs, l.Job.ID)
		}
		d.over(cleanup)
		d.mu.Unlock()
		d.wakeUp()
	})
}

func (d *Dispatcher) begun(cleanup bool) {
	if cleanup {
		d.cleaning++
	} else {
		d.busy++
	}
}

// done frees the worker of a run; what is left is to store its end.
func (d *Dispatcher) done() {
	d.mu.Lock()
	d.busy--
	d.ending++
	d.mu.Unlock()
	d.wakeUp()
}

func (d *Dispatcher) over(cleanup bool) {
	if cleanup {
		d.cleaning--
		d.cleaned = true
	} else {
		d.ending--
	}
}

func (d *Dispatcher) all() []*run {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make([]*run, 0, len(d.runs))
	for _, r := range d.runs {
		all = append(all, r)
	}
	return all
}

// report logs an error of the store; the next poll tries again.
func (d *Dispatcher) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		d.o.Log.ErrorContext(ctx, "cannot "+what, "error", fault.Detail(err))
	}
}

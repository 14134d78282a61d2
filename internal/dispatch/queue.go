package dispatch

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// Lease is the right to run one job, or to clean up after it, until it is given
// back by Queue.Apply or runs out. Job.Epoch is its fencing number.
type Lease struct {
	Job   job.Job
	Token []byte // saved by an earlier run, or nil
	// Crashes is how often in a row the job's worker was lost (its process died, or
	// the lease ran out) without the job having come further.
	Crashes int
}

// Queue is the part of the store that the dispatcher works on. Every write that
// takes a Lease returns an error of kind Conflict, and changes nothing, once the
// job has changed hands. What a call did is durable when it returns nil; an
// error of kind Unavailable leaves it unknown.
type Queue interface {
	// Claim takes up to n pending jobs that may run now, in the order that package
	// admission decides on.
	Claim(ctx context.Context, node string, lease time.Duration, n int) ([]Lease, error)
	// ClaimCleanup takes up to n jobs that are cancelling and that nobody has.
	ClaimCleanup(ctx context.Context, node string, lease time.Duration, n int) ([]Lease, error)
	// Renew extends the lease from now on, stores the progress (nil: keeps it)
	// and tells whether the job is to be cancelled.
	Renew(ctx context.Context, l Lease, lease time.Duration, p *job.Progress) (cancel bool, err error)
	// Apply moves the job along the state table and appends the event. A change
	// that releases the job ends the lease.
	Apply(ctx context.Context, l Lease, c job.Change) (job.Job, error)
	// Reap gives back the jobs whose leases ran out.
	Reap(ctx context.Context) (n int, err error)
	// TakeBack gives back the jobs that an earlier life of the node had.
	TakeBack(ctx context.Context, node string) (n int, err error)
	// Cancelling lists the jobs that the node has and that are to be cancelled.
	Cancelling(ctx context.Context, node string) (ids []string, err error)
	// SaveToken keeps a token with the job.
	SaveToken(ctx context.Context, l Lease, token []byte) error
	// SaveTrace keeps the run's place in its trace (Job.RunTrace), for the next run.
	SaveTrace(ctx context.Context, l Lease, parent string) error
	Books
}

// Books are what is kept of one leased job.
type Books interface {
	Ledger(l Lease) Ledger
	Checkpoints(l Lease) Checkpoints
	Steps(l Lease) Steps
	Hosts(l Lease) Hosts
}

// Orphans are remote objects of jobs that have ended: their clean-up did not get
// through, or a crash came in between.
type Orphans interface {
	Orphans(ctx context.Context) ([]provider.LedgerEntry, error)
	// Forget records that the object is gone.
	Forget(ctx context.Context, id string) error
}

package dispatch

import (
	"context"
	"errors"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// Runner does the work of jobs. Both methods are called concurrently for
// different jobs, never for the same one.
type Runner interface {
	// Run carries a job out, or goes on where an earlier run stopped (Task.Token,
	// Task.Checkpoints). It returns soon after ctx is done; context.Cause(ctx) is
	// then one of ErrCancelRequested, ErrShutdown, ErrLeaseLost or ErrTimeout.
	//
	// On success nothing remains but what Outcome names. On an error Run frees
	// local resources only (connections, files) and leaves remote objects,
	// staging and checkpoints for the next run: whenever none will follow, the
	// dispatcher calls Cleanup. The kind of the error decides: a retryable one
	// (fault.Kind.Retryable) brings another attempt after a while.
	Run(ctx context.Context, t Task) (job.Outcome, error)
	// Cleanup removes what all runs of a job left: every remote object of
	// Task.Ledger.Open, the staging area. Published outputs stay. It is
	// idempotent, finds everything by Task alone (the process may be a new one)
	// and is called before a job becomes cancelled or failed.
	Cleanup(ctx context.Context, t Task) error
}

// Why the context of a run ends (context.Cause).
var (
	// ErrCancelRequested: somebody cancelled the job. Cleanup follows.
	ErrCancelRequested = fault.New(fault.Cancelled, "HX-RUN-001", "the job was cancelled", "")
	// ErrShutdown: this process stops. The job goes on later, here or elsewhere.
	ErrShutdown = fault.New(fault.Unavailable, "HX-RUN-002", "the node shuts down", "")
	// ErrLeaseLost: another node may run the job by now: stop at once, touch
	// nothing.
	ErrLeaseLost = fault.New(fault.Conflict, "HX-RUN-003", "the lease of the job is lost", "")
	// ErrTimeout: the attempt ran longer than the job's timeout. The job fails;
	// Cleanup follows.
	ErrTimeout = fault.New(fault.Timeout, "HX-RUN-004", "the job ran longer than its timeout",
		"raise timeout, or look for what slows it down")
)

// Final marks an error after which no attempt follows, whatever its kind. The
// error stays what it is.
func Final(err error) error {
	if err == nil {
		return nil
	}
	return &finalError{err}
}

type finalError struct{ error }

func (e *finalError) Unwrap() error { return e.error }

func isFinal(err error) bool {
	_, final := errors.AsType[*finalError](err)
	return final
}

// Task is one run of one job. Everything that it writes is fenced by the lease:
// once another run has begun, it returns an error of kind Conflict.
type Task struct {
	Job         job.Job // as claimed; Epoch and Attempt are this run's
	Token       []byte  // what an earlier run saved last, or nil
	Ledger      Ledger
	Checkpoints Checkpoints
	Steps       Steps // of a workflow
	Hosts       Hosts // slots of the hosts that are read from; nil: there is no limit
	// SaveToken keeps the provider's handle to the frozen VM for a later run. It
	// is durable when it returns; nil forgets it.
	SaveToken func(ctx context.Context, token []byte) error
	// Progress reports how far the run is. It never blocks; the newest report is
	// kept, about once a second. UpdatedAt is filled in.
	Progress func(p job.Progress)
}

// Ledger is the record of a job's remote objects, over all its runs.
type Ledger interface {
	provider.Ledger
	// Of returns the ledger of one step of a workflow: what it records names the
	// step and the provider that can remove it.
	Of(step, provider string) Ledger
	// Open lists what was intended and is not settled, oldest first.
	Open(ctx context.Context) ([]provider.LedgerEntry, error)
}

// Checkpoints keep how far each disk of a job is. They are gone when the job
// ends.
type Checkpoints interface {
	// Load returns the last checkpoint of a disk; found is false if there is none.
	Load(ctx context.Context, disk string) (c Checkpoint, found bool, err error)
	// Append makes a checkpoint durable: offset and digest replace the earlier
	// ones, record (nil: none) is added to the earlier ones. The same checkpoint
	// again changes nothing.
	Append(ctx context.Context, disk string, offset int64, digest, record []byte) error
	// Reset forgets the disk's checkpoint: it starts over.
	Reset(ctx context.Context, disk string) error
}

// Checkpoint is the point that a disk's copy reached durably.
type Checkpoint struct {
	Offset  int64    // bytes of virtual disk
	Digest  []byte   // state of the digest at Offset
	Records [][]byte // of disk.Resumable.Mark, in order
}

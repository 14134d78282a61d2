package service

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Store keeps the jobs. Whatever it hands out is bound to a scope: another
// tenant's job is NotFound.
type Store interface {
	// Reader reads the scope's data, without a transaction.
	Reader(s tenant.Scope) Reader
	// Update runs fn in one transaction. When it returns nil, everything that fn
	// did is durable; when it returns fn's error, nothing of it happened. Any
	// other error means that the outcome is unknown (kind Unavailable): ask
	// again with the same idempotency key. fn must not block and must not keep
	// tx; it may run more than once, and only its last run counts. If the scope
	// carries a tenant.Once that was done before, fn does not run.
	Update(ctx context.Context, s tenant.Scope, fn func(tx Tx) error) error
	Directory
	Answers
}

// LogReader reads one tenant's events in the order of the log.
type LogReader interface {
	// Log returns the events with Pos > after, in order. What has no place yet
	// comes later.
	Log(ctx context.Context, after int64, limit int) ([]event.Event, error)
	// LogSize is the highest Pos of all tenants: to begin at the end.
	LogSize(ctx context.Context) (int64, error)
}

// Reader reads one tenant's data.
type Reader interface {
	ScheduleReader
	WebhookReader
	LogReader
	// Job returns one job. Kind NotFound.
	Job(ctx context.Context, id string) (job.Job, error)
	// Jobs returns the jobs that match, newest first, at most q.Limit of them,
	// all with Seq < before if before is not 0.
	Jobs(ctx context.Context, q Query, before int64) ([]job.Job, error)
	// Count counts the jobs that match and stops at limit.
	Count(ctx context.Context, q Query, limit int64) (int64, error)
	// Events returns the events of a job with Seq > after, in order.
	Events(ctx context.Context, jobID string, after int64, limit int) ([]event.Event, error)
	// Explain tells why a job waits, if so many workers are free. Kind NotFound.
	Explain(ctx context.Context, id string, free int) (Waits, error)
	// Backlog counts the jobs by state and tells since when the oldest job that
	// could run waits (zero: none does).
	Backlog(ctx context.Context) (byState map[job.State]int64, oldest time.Time, err error)
	ProfileReader
}

// Tx changes one tenant's data within a transaction.
type Tx interface {
	ScheduleTx
	WebhookTx
	// Insert stores a new pending job and its event. It sets Seq.
	Insert(j *job.Job) error
	// Account returns the scope's tenant and how many of its jobs wait (not more
	// than its quota). Both hold until the end of the transaction. Kind NotFound.
	Account() (a tenant.Account, waiting int64, err error)
	// Cancel moves a job along the state table by job.Cancel or job.Abandon, and
	// changes nothing about one that is final or cancelling. Kind NotFound.
	Cancel(id, reason string) (j job.Job, changed bool, err error)
	// Change moves a job along the state table in the name of the scope's actor.
	// Kinds NotFound, Conflict: then nothing has happened, and the transaction may
	// go on.
	Change(id string, c job.Change) (j job.Job, changed bool, err error)
	// Replay returns what Remember stored under the key, if it did.
	Replay(key string) (digest, answer []byte, found bool, err error)
	// Remember stores the answer to a request under its idempotency key.
	Remember(key string, digest, answer []byte) error
	ProfileTx
	BandwidthTx
}

// Validator checks what only the executor of a job knows (the provider exists,
// the format can be written, the path lies below a configured root) without
// touching the network. Kinds: Invalid, Unprocessable, Denied.
type Validator interface {
	Validate(ctx context.Context, s job.Spec) error
}

// Feed wakes who waits for a change. The channel gets a token after each commit
// that touched the topic; tokens coalesce, so look at the store after each.
// stop must be called. A token may be missed across machines: poll as well.
type Feed interface {
	Watch(topic event.Topic) (wake <-chan struct{}, stop func())
}

// Pool tells about the workers.
type Pool interface {
	// Workers returns how many jobs can run at once here, and how many do.
	Workers() (size, busy int)
	// Scaling tells between what the size may change, and why it is as it is.
	Scaling() (admission.Bounds, admission.Scaling)
}

package store

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// jobColumns are what a list shows of a job, in the order of row.list;
// wholeColumns are all, in the order of row.whole.
const (
	jobColumns = `seq, id, tenant, state, priority, delayed, ready_at, attempt, max_attempts, epoch, node, cancel_reason, not_before,
		submitted_at, started_at, finished_at, spec, failure, progress, artifacts, lease_until, artifacts_removed_at, host`
	wholeColumns = jobColumns + `, receipt, token, host_step, trace, run_trace, crashes`
)

// What the column delayed holds: a pending job is ready only with 0.
const (
	delayedUntil  = 1 // not_before was ahead when last looked at
	delayedPaused = 2
	delayedHost   = 3 // its host has no slot for it
)

// row is a job as the table has it.
type row struct {
	job.Job
	leaseUntil sql.NullInt64
	token      []byte
	crashes    int    // workers lost in a row that had the job, without progress
	hostStep   string // which step reads from Host

	class, delayed                          int
	readyAt                                 int64
	notBefore, submitted, started, finished sql.NullInt64
	spec, failure, progress, artifacts      []byte
	receipt                                 []byte
	artifactsRemoved                        sql.NullInt64
}

func (r *row) list() []any {
	return []any{
		&r.Seq, &r.ID, &r.Tenant, &r.State, &r.class, &r.delayed, &r.readyAt, &r.Attempt, &r.MaxAttempts, &r.Epoch, &r.Node, &r.CancelReason, &r.notBefore,
		&r.submitted, &r.started, &r.finished, &r.spec, &r.failure, &r.progress, &r.artifacts, &r.leaseUntil, &r.artifactsRemoved, &r.Host,
	}
}

func (r *row) whole() []any {
	return append(r.list(), &r.receipt, &r.token, &r.hostStep, &r.Trace, &r.RunTrace, &r.crashes)
}

// decode fills the job from what was scanned.
func (r *row) decode(now time.Time) error {
	for _, f := range []struct {
		from []byte
		to   any
	}{{r.spec, &r.Spec}, {r.failure, &r.Error}, {r.progress, &r.Progress}, {r.artifacts, &r.Artifacts}} {
		if f.from == nil {
			continue
		}
		if err := json.Unmarshal(f.from, f.to); err != nil {
			return fmt.Errorf("decode job %s: %w", r.ID, err)
		}
	}
	r.roundUp()
	r.Priority = job.PriorityOf(r.class)
	r.Paused = r.delayed == delayedPaused
	r.ReadyAt = time.UnixMicro(r.readyAt).UTC()
	r.Receipt = r.receipt
	r.SubmittedAt = time.UnixMicro(r.submitted.Int64).UTC()
	r.StartedAt, r.FinishedAt = fromMicros(r.started), fromMicros(r.finished)
	r.ArtifactsRemovedAt = fromMicros(r.artifactsRemoved)
	if r.notBefore.Int64 != 0 {
		r.NotBefore = fromMicros(r.notBefore)
	}
	r.explain(now)
	return nil
}

// explain says why a pending job waits.
func (r *row) explain(now time.Time) {
	switch {
	case r.State != job.Pending:
		r.WaitReason = ""
	case r.Paused:
		r.WaitReason = job.WaitPaused
	case r.NotBefore != nil && r.NotBefore.After(now):
		r.WaitReason = job.WaitNotBefore
	case r.delayed == delayedHost:
		r.WaitReason = job.WaitHostLimit
	default:
		r.WaitReason = job.WaitSlot
	}
}

// searchKeys returns what a VM is found by.
func searchKeys(vmPath string) (lower, name string) {
	lower = strings.ToLower(vmPath)
	return lower, path.Base(lower)
}

// micros returns a time as the table has it, 0 for none.
func micros(t *time.Time) int64 {
	if t == nil {
		return 0
	}
	return t.UnixMicro()
}

// nullMicros is micros with NULL for none.
func nullMicros(t *time.Time) sql.NullInt64 {
	return sql.NullInt64{Int64: micros(t), Valid: t != nil}
}

func fromMicros(v sql.NullInt64) *time.Time {
	if !v.Valid {
		return nil
	}
	t := time.UnixMicro(v.Int64).UTC()
	return &t
}

// roundUp makes the progress of a completed job a whole one: what is stored is
// what the last heartbeat told.
func (r *row) roundUp() {
	if r.State == job.Completed && r.Progress != nil {
		r.Progress.Percent, r.Progress.ETA = 100, 0
	}
}

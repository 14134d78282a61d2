package service

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// ArtifactRule selects artifacts that are to go.
type ArtifactRule struct {
	Before time.Time // those of jobs that completed before; zero: none by age
	Keep   int       // all but the newest so many of each tenant's vm_path; 0: none by count
}

// RetentionStore forgets what has ended, of all tenants. Only Retention has it.
type RetentionStore interface {
	Answers
	// OldArtifacts returns completed jobs with Seq > after, in order, whose artifacts
	// are there and which the rule selects.
	OldArtifacts(ctx context.Context, r ArtifactRule, after int64, limit int) ([]job.Job, error)
	// ArtifactsRemoved records that a job's artifacts are gone, with an event.
	ArtifactsRemoved(ctx context.Context, id, actor, reason string) error
	// CountOldJobs counts the jobs that DeleteOldJobs would delete, up to limit.
	CountOldJobs(ctx context.Context, r JobRule, limit int) (int, error)
	// DeleteOldJobs deletes up to limit jobs with their events, the oldest first, in
	// one transaction, and appends one event for each tenant that lost any.
	DeleteOldJobs(ctx context.Context, r JobRule, actor string, limit int) (int, error)
}

// JobRule selects jobs that are to be forgotten. One whose remote objects are not
// settled stays.
type JobRule struct {
	Before        time.Time // that ended before
	KeepArtifacts bool      // not those whose artifacts are there: a rule for artifacts needs them
}

// ArtifactRemover removes artifacts of completed jobs where they are.
type ArtifactRemover interface {
	// Remove removes the output of a job whole, or with dry only tells whether it
	// would. Kinds: NotFound (it is gone already), Conflict (it is not as the job
	// left it, so it is somebody's now), Unavailable (it may be elsewhere).
	Remove(ctx context.Context, j job.Job, dry bool) (bytes int64, err error)
}

// Package sink is the port to where artifacts go. An output is staged under a
// name that nobody takes for the result, and appears whole by Publish.
package sink

import (
	"context"
	"io"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// Sink is a place for outputs: a directory, later S3.
type Sink interface {
	// Stage opens the staging area of one output, or the one that the same job
	// left behind after a crash. name is the published name: one path element,
	// checked by CleanName. Kind Conflict: something with this name is already
	// published.
	Stage(ctx context.Context, name, jobID string) (Stage, error)
}

// Stage is the staging area of one job's output: a set of files that is
// published as a whole.
type Stage interface {
	// Create opens a file for writing: an empty one, or with resume the one that
	// was left behind (empty if there is none).
	Create(name string, resume bool) (Object, error)
	// Open reads a file of this stage back, for verification.
	Open(name string) (ReadFile, error)
	// Publish makes the whole set appear under its name: every file is already
	// synced; rename, then fsync of the directory. It is idempotent: after a
	// crash in the middle it finishes the work. Kind Conflict: the name is taken
	// by somebody else.
	Publish(ctx context.Context) (Stored, error)
	// Discard removes the stage. Idempotent; a published output stays.
	Discard(ctx context.Context) error
	// Close frees handles and leaves the stage for a later resume.
	Close() error
}

// Marked is a Stage that may not be the one that an earlier run of the job wrote
// to: a directory that only one machine has.
type Marked interface {
	// Mark tells this staging area from every other one of the same job; empty
	// once it is published.
	Mark() string
}

// Object is a file being written. Writes should be sequential and large; the
// implementation may buffer and bypass the page cache: Sync flushes.
type Object interface {
	disk.Object
	io.ReaderAt // sees what was written before the last Sync
	// Close syncs and closes. Idempotent.
	Close() error
}

// ReadFile is a file opened for reading.
type ReadFile interface {
	io.ReaderAt
	io.Closer
	Size() int64
}

// Stored tells where a published output is.
type Stored struct {
	URL  string // file:///…, s3://…
	Path string // for a local directory
}

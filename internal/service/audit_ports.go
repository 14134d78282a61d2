package service

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// AuditStore reads the log for an audit.
type AuditStore interface {
	// AuditOf reads as the scope may: the places of all tenants, the entries of its
	// own.
	AuditOf(s tenant.Scope) AuditReader
	// AuditOfAll reads everything.
	AuditOfAll(p tenant.PlatformScope) AuditReader
	// AuditSinks tells how far each sink has the log, by name.
	AuditSinks(ctx context.Context, p tenant.PlatformScope) ([]audit.Sink, error)
	// AppendRefusals adds entries of refused attempts to the log.
	AppendRefusals(ctx context.Context, refusals []event.Refusal) error
}

// AuditReader reads the log.
type AuditReader interface {
	// Entries returns entries that match, newest first, all with Pos < before if
	// before is not 0.
	Entries(ctx context.Context, q AuditQuery, before int64) ([]audit.Record, error)
	// Lines returns the places behind after, in order.
	Lines(ctx context.Context, after int64, limit int) ([]audit.Line, error)
	// Line returns one place. Kind NotFound.
	Line(ctx context.Context, pos int64) (audit.Line, error)
	// Checkpoint returns the first checkpoint of size or more entries; 0: the last.
	// Kind NotFound.
	Checkpoint(ctx context.Context, size int64) (audit.Checkpoint, error)
	// Tree reads the hashes of the log.
	Tree(ctx context.Context) *audit.Tree
}

// AuditQuery selects entries; empty fields select all.
type AuditQuery struct {
	Tenant   tenant.ID // empty: those that the caller may read
	Event    string    // job.submitted, or a prefix: job.
	Actor    string
	Resource string // a job's id, or TYPE:ID
	Since    time.Time
	Until    time.Time // before
	Limit    int       // 1 to MaxLimit; 0: DefaultLimit
	Before   int64     // only places before; 0: all
}

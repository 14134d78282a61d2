package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"strconv"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// AuditEntry is an event as an auditor reads it.
type AuditEntry struct{ audit.Entry }

// Metadata is the rest, as REST shows it.
func (e AuditEntry) Metadata() (json.RawMessage, error) { return json.Marshal(e.Entry.Metadata) }

var errNoAudit = fault.New(fault.NotFound, "HX-GQL-020", "this daemon has no audit", "")

// audit is what reads the log. Kind NotFound if there is none.
func (q *queries) audit() (*service.Audit, error) {
	if q.deps.Audit == nil {
		return nil, errNoAudit
	}
	return q.deps.Audit, nil
}

func (q *queries) Audit(
	ctx context.Context, of, event, actor, resource *string, since, until *time.Time, first *int, after *string,
) (AuditPage, error) {
	log, err := q.audit()
	if err != nil {
		return AuditPage{}, err
	}
	ask := service.AuditQuery{
		Tenant: tenant.ID(value(of)), Event: value(event), Actor: value(actor), Resource: value(resource), Since: value(since), Until: value(until),
	}
	if ask.Limit, err = limitOf(first); err != nil {
		return AuditPage{}, err
	}
	if ask.Before, err = placeOf(after); err != nil {
		return AuditPage{}, err
	}
	page, err := log.Entries(ctx, principal(ctx), ask)
	next := ""
	if page.Next > 0 {
		next = strconv.FormatInt(page.Next, 10)
	}
	out := AuditPage{Nodes: make([]AuditEntry, len(page.Entries)), PageInfo: pageInfo(after, next)}
	for i := range page.Entries {
		out.Nodes[i] = AuditEntry{page.Entries[i]}
	}
	return out, err
}

// placeOf reads a cursor of the log. Kind Invalid.
func placeOf(cursor *string) (int64, error) {
	if value(cursor) == "" {
		return 0, nil
	}
	pos, err := strconv.ParseInt(*cursor, 10, 64)
	return pos, fault.Wrap(err, fault.Invalid, "HX-GQL-021", "the cursor is none that this API gave out", "start without a cursor")
}

func (q *queries) AuditLog(ctx context.Context, after *int64, first *int) ([]AuditLine, error) {
	log, err := q.audit()
	if err != nil {
		return nil, err
	}
	limit, err := limitOf(first)
	if err != nil {
		return nil, err
	}
	lines, err := log.Lines(ctx, principal(ctx), value(after), cmp.Or(limit, service.DefaultLimit))
	out := make([]AuditLine, len(lines))
	for i := range lines {
		out[i] = lineOf(&lines[i])
	}
	return out, err
}

func lineOf(l *audit.Line) AuditLine {
	return AuditLine{Pos: l.Pos, Hash: l.Hash.String(), Leaf: l.Leaf, Hidden: l.Hidden, Checkpoint: l.Checkpoint}
}

func (q *queries) AuditCheckpoint(ctx context.Context) (AuditCheckpoint, error) {
	log, err := q.audit()
	if err != nil {
		return AuditCheckpoint{}, err
	}
	c, err := log.Checkpoint(ctx, principal(ctx))
	return checkpointOf(&c), err
}

func checkpointOf(c *audit.Checkpoint) AuditCheckpoint {
	return AuditCheckpoint{Size: c.Size, Root: c.Root.String(), Time: c.Time, Node: c.Node, Note: c.Note}
}

func (q *queries) AuditProof(ctx context.Context, pos int64) (AuditProof, error) {
	log, err := q.audit()
	if err != nil {
		return AuditProof{}, err
	}
	p, err := log.Proof(ctx, principal(ctx), pos)
	return AuditProof{Entry: lineOf(&p.Line), Hashes: hashesOf(p.Hashes), Checkpoint: checkpointOf(&p.Checkpoint)}, err
}

func (q *queries) AuditConsistency(ctx context.Context, from int64) (AuditConsistency, error) {
	log, err := q.audit()
	if err != nil {
		return AuditConsistency{}, err
	}
	c, err := log.Consistency(ctx, principal(ctx), from)
	return AuditConsistency{From: c.From, Root: c.Root.String(), Hashes: hashesOf(c.Hashes), Checkpoint: checkpointOf(&c.Checkpoint)}, err
}

func hashesOf(all []audit.Hash) []string {
	out := make([]string, len(all))
	for i, h := range all {
		out[i] = h.String()
	}
	return out
}

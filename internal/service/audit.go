package service

import (
	"context"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// Audit reads the log as an auditor does. An admin reads the entries of the own
// tenant, and the platform's those of all.
type Audit struct{ store AuditStore }

// NewAudit makes an Audit.
func NewAudit(store AuditStore) *Audit { return &Audit{store} }

// AuditPage is one page of entries, newest first.
type AuditPage struct {
	Entries []audit.Entry
	Next    int64 // Before of the next page; 0: the last page
}

// AuditProof proves that an entry stands in the log that a checkpoint tells of.
type AuditProof struct {
	Line       audit.Line
	Checkpoint audit.Checkpoint
	Hashes     []audit.Hash
}

// AuditConsistency proves that a log continues an older one.
type AuditConsistency struct {
	From       int64
	Checkpoint audit.Checkpoint // the newer one
	Root       audit.Hash       // of the first From entries
	Hashes     []audit.Hash
}

// reader returns what the caller may read.
func (a *Audit) reader(p tenant.Principal) (AuditReader, error) {
	all, err := p.Platform(tenant.PlatformRead)
	if err == nil {
		return a.store.AuditOfAll(all), nil
	}
	scope, err := p.Scope(tenant.AuditRead)
	if err != nil {
		return nil, err
	}
	return a.store.AuditOf(scope), nil
}

// Entries returns one page of entries. Kinds: Invalid; NotFound for a stranger's
// tenant.
func (a *Audit) Entries(ctx context.Context, p tenant.Principal, q AuditQuery) (AuditPage, error) {
	r, err := a.reader(p)
	if err != nil {
		return AuditPage{}, err
	}
	if q.Limit == 0 {
		q.Limit = DefaultLimit
	}
	if q.Limit < 1 || q.Limit > MaxLimit || q.Before < 0 {
		return AuditPage{}, fault.Newf(fault.Invalid, "HX-AUDIT-006", "leave them out for the defaults", "limit must be between 1 and %d, and a place 1 or more", MaxLimit)
	}
	if q.Tenant != "" {
		scope, err := p.ScopeOf(q.Tenant, tenant.AuditRead, tenant.PlatformRead)
		if err != nil {
			return AuditPage{}, err
		}
		r = a.store.AuditOf(scope)
	}
	limit := q.Limit
	q.Limit++ // one more tells whether there is a next page
	records, err := r.Entries(ctx, q, q.Before)
	if err != nil {
		return AuditPage{}, err
	}
	page := AuditPage{Entries: make([]audit.Entry, 0, len(records))}
	if len(records) > limit {
		records = records[:limit]
		page.Next = records[limit-1].Pos
	}
	for i := range records {
		page.Entries = append(page.Entries, records[i].Entry())
	}
	return page, nil
}

// Lines returns the places behind after, as an export has them. A stranger's entry
// is hidden, its hash is not.
func (a *Audit) Lines(ctx context.Context, p tenant.Principal, after int64, limit int) ([]audit.Line, error) {
	r, err := a.reader(p)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = MaxLimit
	}
	if limit < 1 || limit > MaxLimit || after < 0 {
		return nil, fault.Newf(fault.Invalid, "HX-AUDIT-006", "leave them out for the defaults", "limit must be between 1 and %d, and a place 1 or more", MaxLimit)
	}
	return r.Lines(ctx, after, limit)
}

// Checkpoint returns the last signed checkpoint. Kind NotFound before the first.
func (a *Audit) Checkpoint(ctx context.Context, p tenant.Principal) (audit.Checkpoint, error) {
	r, err := a.reader(p)
	if err != nil {
		return audit.Checkpoint{}, err
	}
	return r.Checkpoint(ctx, 0)
}

// Proof proves that the entry at a place is in the log. Kind NotFound.
func (a *Audit) Proof(ctx context.Context, p tenant.Principal, pos int64) (proof AuditProof, err error) {
	r, err := a.reader(p)
	if err != nil {
		return proof, err
	}
	if proof.Line, err = r.Line(ctx, pos); err != nil {
		return proof, err
	}
	if proof.Checkpoint, err = r.Checkpoint(ctx, 0); err != nil {
		return proof, err
	}
	proof.Hashes, err = r.Tree(ctx).Inclusion(pos, proof.Checkpoint.Size)
	return proof, err
}

// Consistency proves that the log continues that of an older checkpoint of so many
// entries. Kind Invalid if the log never had as many.
func (a *Audit) Consistency(ctx context.Context, p tenant.Principal, from int64) (c AuditConsistency, err error) {
	r, err := a.reader(p)
	if err != nil {
		return c, err
	}
	if c.Checkpoint, err = r.Checkpoint(ctx, 0); err != nil {
		return c, err
	}
	if from < 1 || from > c.Checkpoint.Size {
		return c, fault.Newf(fault.Invalid, "HX-AUDIT-007", "if you have a checkpoint of more, the log went back: keep it, and find out why",
			"the log has %d entries, not %d", c.Checkpoint.Size, from)
	}
	c.From = from
	tree := r.Tree(ctx)
	if c.Root, err = tree.Root(from); err != nil {
		return c, err
	}
	c.Hashes, err = tree.Consistency(from, c.Checkpoint.Size)
	return c, err
}

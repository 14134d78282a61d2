package store

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/google/uuid"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// ledger is the record of the remote objects of one leased job.
type ledger struct {
	s        *Store
	l        dispatch.Lease
	step     string // of a workflow
	provider string
}

// Ledger implements dispatch.Queue.
func (s *Store) Ledger(l dispatch.Lease) dispatch.Ledger {
	return &ledger{s: s, l: l, provider: l.Job.Spec.Provider}
}

// Of implements dispatch.Ledger.
func (g *ledger) Of(step, provider string) dispatch.Ledger {
	return &ledger{s: g.s, l: g.l, step: step, provider: provider}
}

// Intend implements provider.Ledger.
func (g *ledger) Intend(ctx context.Context, kind, ref string) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a ledger id: %w", err)
	}
	err = g.s.fenced(ctx, g.l, func(t *tx) error {
		_, err := t.exec(`INSERT INTO ledger (id, job_id, step, provider, kind, ref, at) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			id.String(), g.l.Job.ID, g.step, g.provider, kind, ref, t.now.UnixMicro())
		return err
	})
	return id.String(), err
}

// Amend implements provider.Ledger.
func (g *ledger) Amend(ctx context.Context, id, ref string) error {
	return g.s.fenced(ctx, g.l, func(t *tx) error {
		n, err := t.exec(`UPDATE ledger SET ref = $1 WHERE id = $2 AND job_id = $3`, ref, id, g.l.Job.ID)
		if err == nil && n == 0 {
			return fault.Newf(fault.NotFound, "HX-STORE-009", "", "there is no ledger entry %.100q of this job", id)
		}
		return err
	})
}

// Settle implements provider.Ledger. It is idempotent.
func (g *ledger) Settle(ctx context.Context, id string) error {
	return g.s.fenced(ctx, g.l, func(t *tx) error {
		_, err := t.exec(`DELETE FROM ledger WHERE id = $1 AND job_id = $2`, id, g.l.Job.ID)
		return err
	})
}

// Open implements dispatch.Ledger.
func (g *ledger) Open(ctx context.Context) ([]provider.LedgerEntry, error) {
	return g.s.entries(ctx, `SELECT id, job_id, provider, kind, ref FROM ledger WHERE job_id = $1 AND step = $2 ORDER BY id`, g.l.Job.ID, g.step)
}

// Orphans implements dispatch.Orphans.
func (s *Store) Orphans(ctx context.Context) ([]provider.LedgerEntry, error) {
	return s.entries(ctx, `SELECT l.id, l.job_id, l.provider, l.kind, l.ref FROM ledger l JOIN jobs j ON j.id = l.job_id
		WHERE j.state IN ('completed', 'failed', 'cancelled') ORDER BY l.id LIMIT 1000`)
}

// Forget implements dispatch.Orphans.
func (s *Store) Forget(ctx context.Context, id string) error {
	return s.w.update(ctx, func(t *tx) error {
		_, err := t.exec(`DELETE FROM ledger WHERE id = $1`, id)
		return err
	})
}

func (s *Store) entries(ctx context.Context, query string, args ...any) ([]provider.LedgerEntry, error) {
	rows, err := s.read.QueryContext(ctx, query, args...)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (e provider.LedgerEntry, err error) {
		return e, rows.Scan(&e.ID, &e.JobID, &e.Provider, &e.Kind, &e.Ref)
	})
	return all, classify(err)
}

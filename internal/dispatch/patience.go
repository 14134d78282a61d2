package dispatch

import (
	"context"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// patiently repeats a write of the run while the store does not answer, for as
// long as the lease is safe: a database that is restarted does not interrupt a
// transfer. The writes are safe to repeat.
func (r *run) patiently(ctx context.Context, write func() error) error {
	for {
		err := write()
		if !fault.Is(err, fault.Unavailable) {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-r.leaseCtx.Done():
			return err
		case <-time.After(applyPause):
		}
	}
}

// patientCheckpoints are Checkpoints that wait for the store.
type patientCheckpoints struct {
	Checkpoints
	r *run
}

func (c patientCheckpoints) Load(ctx context.Context, disk string) (last Checkpoint, found bool, err error) {
	err = c.r.patiently(ctx, func() (err error) {
		last, found, err = c.Checkpoints.Load(ctx, disk)
		return err
	})
	return last, found, err
}

func (c patientCheckpoints) Append(ctx context.Context, disk string, offset int64, digest, record []byte) error {
	return c.r.patiently(ctx, func() error { return c.Checkpoints.Append(ctx, disk, offset, digest, record) })
}

func (c patientCheckpoints) Reset(ctx context.Context, disk string) error {
	return c.r.patiently(ctx, func() error { return c.Checkpoints.Reset(ctx, disk) })
}

// patientLedger is a Ledger that waits for the store. An intention that was
// recorded twice is settled twice.
type patientLedger struct {
	Ledger
	r *run
}

func (l patientLedger) Intend(ctx context.Context, kind, ref string) (id string, err error) {
	err = l.r.patiently(ctx, func() (err error) {
		id, err = l.Ledger.Intend(ctx, kind, ref)
		return err
	})
	return id, err
}

func (l patientLedger) Amend(ctx context.Context, id, ref string) error {
	return l.r.patiently(ctx, func() error { return l.Ledger.Amend(ctx, id, ref) })
}

func (l patientLedger) Settle(ctx context.Context, id string) error {
	return l.r.patiently(ctx, func() error { return l.Ledger.Settle(ctx, id) })
}

func (l patientLedger) Open(ctx context.Context) (open []provider.LedgerEntry, err error) {
	err = l.r.patiently(ctx, func() (err error) {
		open, err = l.Ledger.Open(ctx)
		return err
	})
	return open, err
}

package dispatch

import (
	"context"
	"log/slog"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
)

// janitorEvery is how often the Janitor looks.
const janitorEvery = time.Minute

// Janitor removes the remote objects of ended jobs whose clean-up did not get
// through.
type Janitor struct {
	orphans Orphans
	settle  func(ctx context.Context, e provider.LedgerEntry) error
	log     *slog.Logger
}

// NewJanitor makes a Janitor. settle removes one object and is idempotent: see
// provider.Provider.Settle.
func NewJanitor(o Orphans, settle func(ctx context.Context, e provider.LedgerEntry) error, log *slog.Logger) *Janitor {
	return &Janitor{orphans: o, settle: settle, log: log}
}

// Run looks at once and then every minute until ctx is done; it returns nil.
func (n *Janitor) Run(ctx context.Context) error {
	tick := time.NewTicker(janitorEvery)
	defer tick.Stop()
	for {
		n.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (n *Janitor) sweep(ctx context.Context) {
	entries, err := n.orphans.Orphans(ctx)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		n.log.ErrorContext(ctx, "cannot list what ended jobs left", "error", fault.Detail(err))
		return
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		log := n.log.With("job", e.JobID, "kind", e.Kind, "ref", e.Ref)
		if err := n.settle(ctx, e); err != nil {
			log.WarnContext(ctx, "a remote object is left", "error", fault.Detail(err))
			continue
		}
		if err := n.orphans.Forget(ctx, e.ID); err != nil {
			log.ErrorContext(ctx, "a remote object is gone but still in the ledger", "error", fault.Detail(err))
			continue
		}
		log.InfoContext(ctx, "a remote object of an ended job is gone")
	}
}

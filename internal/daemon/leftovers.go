package daemon

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
	"github.com/hypersdk/hypersdk/internal/step"
)

// sweepEvery is how often a node looks through its output roots.
const sweepEvery = 15 * time.Minute

// leftovers removes what runs of this node have staged and nobody will go on with:
// of jobs that have ended, and of those that another node took over. What the
// store does not know stays.
type leftovers struct {
	holder func(ctx context.Context, jobID, step string) (dispatch.Holder, bool, error)
	node   string
	roots  []string
	work   string // working directories of steps, of this node only
	log    *slog.Logger
}

// run sweeps at once and then every 15 minutes until ctx is done; it returns nil.
func (l *leftovers) run(ctx context.Context) error {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		l.sweep(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// sweep looks through the output roots.
func (l *leftovers) sweep(ctx context.Context) {
	for _, root := range l.roots {
		removed, err := dir.Sweep(ctx, root, func(s dir.Staged) (bool, error) {
			h, found, err := l.holder(ctx, s.Job, s.Step)
			return found && h.Useless(l.node, s.Mark, step.StageOf), err
		})
		for _, s := range removed {
			l.log.InfoContext(ctx, "what a run had staged and nobody needs is gone", "job", s.Job, "path", s.Path)
		}
		if err != nil && ctx.Err() == nil {
			l.log.WarnContext(ctx, "cannot look for what is left in "+root, "error", fault.Detail(err))
		}
	}
}

// begin removes working directories of steps whose job has ended or runs elsewhere.
// It must be over before this node runs anything: they have no lock.
func (l *leftovers) begin(ctx context.Context) {
	entries, err := os.ReadDir(l.work)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.log.WarnContext(ctx, "cannot look for what steps left", "error", err.Error())
	}
	for _, e := range entries {
		id, name, ofStep := strings.Cut(e.Name(), ".")
		if !ofStep || !e.IsDir() {
			continue
		}
		h, found, err := l.holder(ctx, id, name)
		if err == nil && found && (h.State.Final() || h.Leased && h.Node != l.node) {
			if err = os.RemoveAll(filepath.Join(l.work, e.Name())); err == nil {
				l.log.InfoContext(ctx, "the working directory of a step that nobody needs is gone", "job", id, "step", name)
			}
		}
		if err != nil {
			l.log.WarnContext(ctx, "a working directory of a step is left", "job", id, "step", name, "error", fault.Detail(err))
		}
	}
}

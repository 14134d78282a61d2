package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// A loop that panicked begins anew after the first pause; each further panic doubles
// it, up to the longest.
const (
	firstPause   = time.Second
	longestPause = time.Minute
)

// again runs a loop of the daemon until ctx is done. One that panics is logged and
// begun anew: what looks after things (schedules, retention, deliveries) must not take
// the API and the running jobs down with it. It is not for the loops that hold leases
// or order the log: they end the daemon in order, and the next start is clean.
func again(ctx context.Context, log *slog.Logger, name string, loop func(ctx context.Context) error) error {
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := fault.Protect(func() error { return loop(ctx) })
		if err == nil || fault.As(err).Code != fault.CodePanic {
			return err
		}
		log.ErrorContext(ctx, "a loop went wrong; it begins anew", "loop", name, "after", pause, "error", fault.Detail(err))
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

package daemon

import (
	"context"
	"maps"
	"slices"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/profile"
)

// checkProfiles tells the log at the start which files are no profiles. They do
// not keep the daemon from starting: only jobs that name one are refused.
func (d *Daemon) checkProfiles(ctx context.Context) { d.checkProfilesIn(ctx, d.cfg.ProfilesDir) }

func (d *Daemon) checkProfilesIn(ctx context.Context, dir string) {
	set, err := profile.NewDirs(dir).Load()
	if err != nil {
		d.log.ErrorContext(ctx, "the profiles cannot be read", "error", fault.Detail(err))
		return
	}
	for _, id := range slices.Sorted(maps.Keys(set)) {
		if _, err := set.Resolve(id); err != nil {
			d.log.ErrorContext(ctx, "a profile cannot be used", "profile", id, "error", err)
		}
	}
}

package daemon

import (
	"context"
	"encoding"
	"log/slog"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// live are the keys that may change while the daemon runs. What takes a key over
// is called once for all of its keys that changed.
var live = map[string]func(d *Daemon, ctx context.Context, next *Config) error{
	"bandwidth_limit":              (*Daemon).reloadBandwidth,
	"bandwidth_windows":            (*Daemon).reloadBandwidth,
	"log.level":                    (*Daemon).reloadLevel,
	"profiles_dir":                 (*Daemon).reloadProfiles,
	"workers":                      (*Daemon).reloadWorkers,
	"min_workers":                  (*Daemon).reloadWorkers,
	"max_workers":                  (*Daemon).reloadWorkers,
	"vsphere.max_exports_per_host": (*Daemon).reloadHosts,
}

// Outcomes of one reload, for the metric.
const (
	reloadApplied = "applied"
	reloadPartly  = "partly" // some keys take effect at the next start only
	reloadFailed  = "failed"
)

// OnReload makes Run read the configuration again at each signal, by load. level
// is that of the log; nil: it cannot change. Call it before Run.
func (d *Daemon) OnReload(signals <-chan os.Signal, level *slog.LevelVar, load func() (Config, error)) {
	d.reload.signals, d.reload.level, d.reload.load = signals, level, load
}

// reload is what a daemon needs to read its configuration again.
type reload struct {
	signals <-chan os.Signal // nil: never
	level   *slog.LevelVar
	load    func() (Config, error)
	count   func(outcome string)
}

// reloads reads the configuration again at each signal until ctx is done. A file
// that is wrong changes nothing.
func (d *Daemon) reloads(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.reload.signals:
		}
		if d.certificate != nil {
			d.certificate.Reload()
		}
		if d.clients != nil {
			d.clients.Reload()
		}
		next, err := d.reload.load()
		if err != nil {
			d.log.ErrorContext(ctx, "the configuration was not reloaded: nothing has changed", "error", fault.Detail(err))
			d.reload.count(reloadFailed)
			continue
		}
		d.reload.count(d.apply(ctx, next))
	}
}

// apply takes over what may change of a configuration and says what may not.
func (d *Daemon) apply(ctx context.Context, next Config) (outcome string) {
	outcome = reloadApplied
	var applied []string
	done := map[uintptr]error{}
	for _, key := range differences(reflect.ValueOf(d.cfg), reflect.ValueOf(next), "") {
		take, ok := live[key]
		if !ok {
			d.log.WarnContext(ctx, "this key takes effect at the next start only", "key", key)
			outcome = reloadPartly
			continue
		}
		id := reflect.ValueOf(take).Pointer()
		err, did := done[id]
		if !did {
			err = take(d, ctx, &next)
			done[id] = err
		}
		if err != nil {
			d.log.ErrorContext(ctx, "this key was not taken over", "key", key, "error", fault.Detail(err))
			outcome = reloadPartly
			continue
		}
		path := strings.Split(key, ".")
		from, _ := find(reflect.ValueOf(&next).Elem(), path)
		to, _ := find(reflect.ValueOf(&d.cfg).Elem(), path)
		to.Set(from)
		applied = append(applied, key)
	}
	d.log.InfoContext(ctx, "the configuration was reloaded", "changed", applied)
	return outcome
}

// differences lists the keys whose values differ, in the order of the file.
func differences(a, b reflect.Value, prefix string) (keys []string) {
	for i := range a.NumField() {
		name := prefix + a.Type().Field(i).Tag.Get("yaml")
		x, y := a.Field(i), b.Field(i)
		text := reflect.PointerTo(x.Type()).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
		switch {
		case x.Kind() == reflect.Struct && !text:
			keys = append(keys, differences(x, y, name+".")...)
		case !reflect.DeepEqual(x.Interface(), y.Interface()):
			keys = append(keys, name)
		}
	}
	return keys
}

// LiveKeys lists the keys that a reload takes over.
func LiveKeys() []string { return slices.Sorted(maps.Keys(live)) }

func (d *Daemon) reloadBandwidth(_ context.Context, next *Config) error {
	plan, err := next.bandwidth()
	if err == nil {
		d.engine.limits.SetGlobal(plan)
	}
	return err
}

func (d *Daemon) reloadLevel(_ context.Context, next *Config) error {
	if d.reload.level == nil {
		return fault.New(fault.Conflict, "HX-CONF-030", "the level of this log is fixed", "restart the daemon")
	}
	return d.reload.level.UnmarshalText([]byte(next.Log.Level))
}

func (d *Daemon) reloadProfiles(ctx context.Context, next *Config) error {
	d.engine.profiles.SetPaths(next.ProfilesDir)
	d.checkProfilesIn(ctx, next.ProfilesDir)
	return nil
}

func (d *Daemon) reloadWorkers(_ context.Context, next *Config) error {
	if (d.cfg.MaxWorkers == 0) != (next.MaxWorkers == 0) {
		return fault.New(fault.Conflict, "HX-CONF-031", "a pool of a fixed size does not become one that scales, nor the other way round, while the daemon runs", "restart the daemon")
	}
	b := admission.Bounds{Min: next.Workers, Max: next.Workers}
	if next.MaxWorkers > 0 {
		b = admission.Bounds{Min: next.MinWorkers, Max: next.MaxWorkers}
	}
	d.engine.dispatcher.SetBounds(b)
	return nil
}

func (d *Daemon) reloadHosts(ctx context.Context, next *Config) error {
	for provider, slots := range next.hostLimits() {
		if err := d.engine.store.LimitHosts(ctx, provider, slots); err != nil {
			return err
		}
	}
	return nil
}

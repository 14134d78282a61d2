package daemon

import (
	"context"
	"fmt"
	"runtime/metrics"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// What GET /health calls degraded.
const (
	queueDegraded = 1000    // jobs that wait
	freeDegraded  = 5 << 30 // bytes free below an output root
	freeUnhealthy = 64 << 20
)

// health are the checks of GET /health. A provider that does not answer degrades
// the daemon; only its own store and disk make it unhealthy.
func (d *Daemon) health() map[string]rest.HealthCheck {
	checks := map[string]rest.HealthCheck{
		"database": d.checkStore,
		"queue":    d.checkQueue,
		"workers":  d.checkWorkers,
		"memory":   checkMemory,
		"disk":     d.checkDisk,
	}
	for name, p := range d.engine.providers {
		checks["provider_"+name] = func(ctx context.Context) rest.Check {
			if err := p.Ping(ctx); err != nil {
				return rest.Check{Status: rest.Degraded, Message: fault.As(err).Msg}
			}
			return rest.Check{Status: rest.Healthy}
		}
	}
	return checks
}

func (d *Daemon) checkStore(ctx context.Context) rest.Check {
	if _, _, err := d.engine.store.Backlog(ctx); err != nil {
		return rest.Check{Status: rest.Unhealthy, Message: fault.As(err).Msg}
	}
	return rest.Check{Status: rest.Healthy}
}

func (d *Daemon) checkQueue(ctx context.Context) rest.Check {
	counts, _, err := d.engine.store.Backlog(ctx)
	if err != nil {
		return rest.Check{Status: rest.Unhealthy, Message: fault.As(err).Msg}
	}
	c := rest.Check{Status: rest.Healthy, Message: fmt.Sprintf("%d jobs wait", counts[job.Pending])}
	if counts[job.Pending] > queueDegraded {
		c.Status = rest.Degraded
	}
	return c
}

func (d *Daemon) checkWorkers(context.Context) rest.Check {
	size, busy := d.engine.dispatcher.Workers()
	return rest.Check{Status: rest.Healthy, Message: fmt.Sprintf("%d of %d at work", busy, size)}
}

func checkMemory(context.Context) rest.Check {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}}
	metrics.Read(samples)
	return rest.Check{Status: rest.Healthy, Message: console.Bytes(int64(samples[0].Value.Uint64())) + " held"}
}

// checkDisk looks at the free space of the state and of every output root.
func (d *Daemon) checkDisk(context.Context) rest.Check {
	worst := rest.Check{Status: rest.Healthy}
	for _, path := range append([]string{d.cfg.StateDir}, d.cfg.Output.Roots...) {
		var fs unix.Statfs_t
		if err := unix.Statfs(path, &fs); err != nil {
			continue // a root that no job has used yet
		}
		free := int64(fs.Bavail) * fs.Bsize
		switch {
		case free < freeUnhealthy:
			return rest.Check{Status: rest.Unhealthy, Message: console.Bytes(free) + " free"}
		case free < freeDegraded:
			worst = rest.Check{Status: rest.Degraded, Message: console.Bytes(free) + " free"}
		}
	}
	return worst
}

package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/api/rest"
	"github.com/hypersdk/hypersdk/internal/console"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
)

// What GET /health calls degraded, or worse.
const (
	freeDegraded  = 5 << 30 // bytes free below an output root
	freeUnhealthy = 64 << 20
	checkFresh    = 3 * time.Second  // how long a good answer of the store and the disks holds
	pingFresh     = 15 * time.Second // that of a provider
)

// HealthConfig says what GET /health calls degraded.
type HealthConfig struct {
	QueueDepth int `yaml:"queue_depth"` // jobs that wait
}

func (c *HealthConfig) check() []string {
	if c.QueueDepth < 1 {
		return []string{"health.queue_depth: at least 1"}
	}
	return nil
}

// health are the checks of GET /health. A provider that does not answer degrades
// the daemon; only its own store and disk make it unhealthy.
func (d *Daemon) health() map[string]rest.HealthCheck {
	checks := map[string]rest.HealthCheck{
		"database": fresh(checkFresh, d.checkStore),
		"queue":    fresh(checkFresh, d.checkQueue),
		"workers":  d.checkWorkers,
		"memory":   fresh(checkFresh, checkMemory),
		"disk":     fresh(checkFresh, d.checkDisk),
	}
	if len(d.cfg.Audit.Sinks) > 0 {
		checks["audit_sinks"] = fresh(checkFresh, d.checkSinks)
	}
	for name, p := range d.engine.providers {
		checks["provider_"+name] = fresh(pingFresh, func(ctx context.Context) rest.Check {
			if err := p.Ping(ctx); err != nil {
				return bad(rest.Degraded, err)
			}
			return rest.Check{Status: rest.Healthy}
		})
	}
	return checks
}

// fresh keeps a good answer for a while, so that probes cost nothing, however many
// come. A bad one is looked at again each time.
func fresh(d time.Duration, check rest.HealthCheck) rest.HealthCheck {
	var (
		mu   sync.Mutex
		last rest.Check
		at   time.Time
	)
	return func(ctx context.Context) rest.Check {
		mu.Lock()
		defer mu.Unlock()
		if !at.IsZero() && time.Since(at) < d {
			return last
		}
		begin := time.Now()
		c := check(ctx)
		c.Latency = float64(max(1, time.Since(begin).Microseconds())) / 1000
		if c.Status == rest.Healthy {
			last, at = c, time.Now()
		} else {
			at = time.Time{}
		}
		return c
	}
}

func bad(s rest.Condition, err error) rest.Check {
	f := fault.As(err)
	text := f.Msg
	if f.Fix != "" {
		text += " → " + f.Fix
	}
	return rest.Check{Status: s, Message: text}
}

// checkStore wants the database to take changes, not only to be read.
func (d *Daemon) checkStore(ctx context.Context) rest.Check {
	if err := d.engine.store.Writable(ctx, checkFresh); err != nil {
		return bad(rest.Unhealthy, err)
	}
	if _, _, err := d.engine.store.Ready(ctx, 1); err != nil {
		return bad(rest.Unhealthy, err)
	}
	return rest.Check{Status: rest.Healthy}
}

// checkQueue leaves it to the check of the database to call a store that does not
// answer unhealthy.
func (d *Daemon) checkQueue(ctx context.Context) rest.Check {
	counts, _, err := d.engine.store.Backlog(ctx)
	if err != nil {
		return bad(rest.Degraded, err)
	}
	waiting, most := counts[job.Pending], int64(d.cfg.Health.QueueDepth)
	c := rest.Check{Status: rest.Healthy, Message: fmt.Sprintf("%d jobs wait", waiting)}
	if waiting > most {
		c.Status = rest.Degraded
		c.Message += fmt.Sprintf("; more than %d are too many (health.queue_depth) → add workers or nodes", most)
	}
	return c
}

func (d *Daemon) checkWorkers(context.Context) rest.Check {
	size, busy := d.engine.dispatcher.Workers()
	return rest.Check{Status: rest.Healthy, Message: fmt.Sprintf("%d of %d at work", busy, size)}
}

// checkMemory looks at what the machine, or the control group, has left.
func checkMemory(context.Context) rest.Check {
	used := newSaturation(nil).memory()
	c := rest.Check{Status: rest.Healthy, Message: fmt.Sprintf("%.0f %% of the memory is used", 100*used)}
	if used >= memoryMarks.short {
		c.Status = rest.Degraded
		c.Message += " → give the daemon more, or lower workers"
	}
	return c
}

// checkDisk looks at the free space of the state and of the outputs.
func (d *Daemon) checkDisk(context.Context) rest.Check {
	c := rest.Check{Status: rest.Healthy}
	var said []string
	for purpose, free := range d.cfg.free() {
		said = append(said, console.Bytes(free)+" free for "+purpose)
		switch {
		case free < freeUnhealthy:
			c.Status = rest.Unhealthy
		case free < freeDegraded && c.Status == rest.Healthy:
			c.Status = rest.Degraded
		}
	}
	slices.Sort(said)
	c.Message = strings.Join(said, ", ")
	if c.Status != rest.Healthy {
		c.Message += " → free some space; retention removes old exports"
	}
	return c
}

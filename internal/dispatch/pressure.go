package dispatch

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
)

// Pressure is what presses on the workers of all nodes, over all tenants.
type Pressure struct {
	Oldest  map[job.Priority]time.Duration // how long a job that is next in its tenant's queue could have run, the longest; every priority is there
	Leases  int64                          // jobs that a node has
	Expired int64                          // of these, those whose node gave no sign of life for too long
}

// Package service holds the use cases: what every door (REST, the CLI
// in-process, later gRPC and GraphQL) calls after it knows who asks. It decides
// nothing about transport and knows no database.
package service

import (
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/schedule"
	"github.com/hypersdk/hypersdk/internal/seal"
)

// Deps are the parts that a Service needs besides its store. Feed and Validator
// are required; the rest has safe defaults.
type Deps struct {
	Validator Validator
	Feed      Feed
	Pool      Pool             // nil: no workers here
	Nodes     Nodes            // nil: no list of nodes
	Files     ProfileFiles     // nil: no profiles but the tenants' own
	Seal      *seal.Key        // nil: no webhooks are made or changed here
	Hooks     Hooks            // observers
	Now       func() time.Time // nil: time.Now
}

// Hooks observe the service. Each may be nil and must return quickly.
type Hooks struct {
	// Submitted is called after the commit, once for each accepted job.
	Submitted func(j job.Job)
	// Cancelled is called after the commit, for a job that never ran: the
	// dispatcher tells of the others.
	Cancelled func(j job.Job)
	// ScheduleRan is called after the commit, once for each run of a schedule.
	ScheduleRan func(r schedule.Run)
	// Refused is called for each job that a quota kept out.
	Refused func(quota string)
}

// Service carries out the use cases. Its methods may be called concurrently.
// Each checks the permission of the principal that it is given first (kinds
// Unauthenticated, Denied) and sees only that principal's tenant (NotFound).
type Service struct {
	store   Store
	deps    Deps
	repeats *repeats
}

// New makes a Service.
func New(store Store, deps Deps) *Service {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	return &Service{store: store, deps: deps, repeats: newRepeats(store, deps.Seal)}
}

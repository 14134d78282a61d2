package service

import (
	"context"
	"math"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// TenantChange says what of a tenant shall be different; nil leaves it.
type TenantChange struct {
	Name              *string
	Weight            *int
	Paused            *bool
	MaxConcurrentJobs *int64
	MaxQueuedJobs     *int64
	MaxStorageBytes   *int64
	MaxBandwidthBytes *int64
	StoredBytes       *int64 // after files were removed by hand
}

func (c *TenantChange) apply(a *tenant.Account) {
	set(&a.Name, c.Name)
	set(&a.Weight, c.Weight)
	set(&a.Paused, c.Paused)
	set(&a.MaxConcurrentJobs, c.MaxConcurrentJobs)
	set(&a.MaxQueuedJobs, c.MaxQueuedJobs)
	set(&a.MaxStorageBytes, c.MaxStorageBytes)
	set(&a.MaxBandwidthBytes, c.MaxBandwidthBytes)
	set(&a.StoredBytes, c.StoredBytes)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// Tenants lists the tenants that the principal may see: all, or its own.
func (s *Service) Tenants(ctx context.Context, p tenant.Principal) ([]tenant.Account, error) {
	all, err := p.Platform(tenant.PlatformRead)
	if err == nil {
		return s.store.Tenants(ctx, all)
	}
	own, err := s.Tenant(ctx, p, "")
	if err != nil {
		return nil, err
	}
	return []tenant.Account{own}, nil
}

// Tenant returns a tenant ("": the principal's own). Kind NotFound.
func (s *Service) Tenant(ctx context.Context, p tenant.Principal, id tenant.ID) (tenant.Account, error) {
	scope, err := p.ScopeOf(id, tenant.TenantRead, tenant.PlatformRead)
	if err != nil {
		return tenant.Account{}, err
	}
	return s.store.Tenant(ctx, scope)
}

// CreateTenant makes a tenant; what c leaves out has its default. Kinds:
// Conflict (the id was given before), Unprocessable.
func (s *Service) CreateTenant(ctx context.Context, p tenant.Principal, id tenant.ID, c TenantChange) (tenant.Account, error) {
	scope, err := p.Platform(tenant.PlatformWrite)
	if err != nil {
		return tenant.Account{}, err
	}
	a := tenant.Account{ID: id, Name: string(id), State: tenant.Active, CreatedAt: s.deps.Now().UTC().Truncate(time.Microsecond)}
	a.Weight = 1
	c.apply(&a)
	if err := a.Validate(); err != nil {
		return tenant.Account{}, err
	}
	q := request{operation: "create_tenant", of: []any{id, c}}
	_, err = once(ctx, s.repeats, p, q, &a, func(o *tenant.Once) error { return s.store.CreateTenant(ctx, scope.Under(o), a) })
	return a, err
}

// ChangeTenant changes a tenant, at once for what waits and for what comes. A
// lower limit takes nothing back. Kinds: NotFound, Unprocessable.
func (s *Service) ChangeTenant(ctx context.Context, p tenant.Principal, id tenant.ID, c TenantChange) (tenant.Account, error) {
	scope, err := p.PlatformOf(id, tenant.PlatformWrite)
	if err != nil {
		return tenant.Account{}, err
	}
	var changed tenant.Account
	q := request{operation: "change_tenant", of: []any{id, c}}
	_, err = once(ctx, s.repeats, p, q, &changed, func(o *tenant.Once) error {
		_, err := s.store.ChangeTenant(ctx, scope.Under(o), id, func(a *tenant.Account) error {
			c.apply(a)
			changed = *a
			return a.Validate()
		})
		return err
	})
	return changed, err
}

// DeleteTenant revokes a tenant's keys, cancels what waits, and deletes it when
// its running jobs have ended: until then it is draining. Asking again changes
// nothing. Kinds: NotFound, Conflict (the default tenant).
func (s *Service) DeleteTenant(ctx context.Context, p tenant.Principal, id tenant.ID) (tenant.Account, error) {
	scope, err := p.PlatformOf(id, tenant.PlatformWrite)
	if err != nil {
		return tenant.Account{}, err
	}
	if id == tenant.Default {
		return tenant.Account{}, fault.New(fault.Conflict, "HX-TENANT-007", "the tenant default holds the daemon's own key and stays", "pause it, if nothing is to run")
	}
	var a tenant.Account
	begin := func(o *tenant.Once) error {
		_, err := s.store.ChangeTenant(ctx, scope.Under(o), id, func(now *tenant.Account) error {
			now.State, now.Paused = tenant.Draining, true // nothing starts before it is cancelled
			a = *now
			return nil
		})
		return err
	}
	_, err = updateThen(ctx, s, p, request{operation: "delete_tenant", of: id}, &a, begin, func() error {
		s.drain(ctx, drainAtOnce)
		if _, err := s.store.Tenant(ctx, scope.Of(id)); fault.Is(err, fault.NotFound) {
			a.State = tenant.Deleted
		}
		return nil
	})
	return a, err
}

// drainEvery is how often Drain looks whether the jobs of a tenant have ended.
const drainEvery = 2 * time.Second

// Drain finishes the deletion of tenants until ctx is done: what a crash, or a
// job that runs, left undone. It returns nil.
func (s *Service) Drain(ctx context.Context) error {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	for {
		s.drain(ctx, math.MaxInt)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// drainAtOnce is how many updates a deletion makes itself before it leaves the
// rest to Drain.
const drainAtOnce = 5

// drain does what can be done now, in so many updates at most. A store that does
// not answer is asked again at the next tick.
func (s *Service) drain(ctx context.Context, updates int) {
	for range updates {
		jobs, more, err := s.store.Drain(ctx)
		if err != nil {
			return
		}
		for i := range jobs {
			if h := s.deps.Hooks.Cancelled; h != nil && jobs[i].State.Final() {
				h(jobs[i])
			}
		}
		if !more {
			return
		}
	}
}

// Usage returns what a tenant ("": the principal's own) used in the months from
// and to and between; empty ones leave that end open. Kinds: Invalid, NotFound.
// A deleted tenant's usage stays readable for those who see all tenants.
func (s *Service) Usage(ctx context.Context, p tenant.Principal, id tenant.ID, from, to tenant.Month) (tenant.ID, []tenant.Usage, error) {
	scope, err := p.ScopeOf(id, tenant.TenantRead, tenant.PlatformRead)
	if err != nil {
		return "", nil, err
	}
	for m, open := range map[*tenant.Month]tenant.Month{&from: "0001-01", &to: "9999-12"} {
		if *m == "" {
			*m = open
		}
		if err := m.Validate(); err != nil {
			return "", nil, err
		}
	}
	months, err := s.store.Usage(ctx, scope, from, to)
	if err != nil || len(months) > 0 {
		return scope.Tenant(), months, err
	}
	_, err = s.store.Tenant(ctx, scope)
	return scope.Tenant(), nil, err
}

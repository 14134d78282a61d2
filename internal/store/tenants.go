package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

const (
	tenantColumns = `id, name, state, paused, weight, max_concurrent_jobs, max_queued_jobs, max_storage_bytes, max_bandwidth_bytes,
		stored_bytes, created_at`
	sqlTenant  = `SELECT ` + tenantColumns + ` FROM tenants WHERE id = $1 AND state <> 'deleted'`
	sqlTenants = `SELECT ` + tenantColumns + ` FROM tenants WHERE state <> 'deleted' ORDER BY id`
)

// tenantRow is a tenant as the table has it.
type tenantRow struct {
	tenant.Account
	paused  int
	created int64
}

func (r *tenantRow) dest() []any {
	return []any{
		&r.ID, &r.Name, &r.State, &r.paused, &r.Weight, &r.MaxConcurrentJobs, &r.MaxQueuedJobs, &r.MaxStorageBytes, &r.MaxBandwidthBytes,
		&r.StoredBytes, &r.created,
	}
}

func (r *tenantRow) account() tenant.Account {
	r.Paused = r.paused != 0
	r.CreatedAt = time.UnixMicro(r.created).UTC()
	return r.Account
}

// Tenant implements service.Directory.
func (s *Store) Tenant(ctx context.Context, scope tenant.Scope) (tenant.Account, error) {
	var r tenantRow
	err := s.read.QueryRowContext(ctx, sqlTenant, string(scope.Tenant())).Scan(r.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return tenant.Account{}, tenant.NotFound(scope.Tenant())
	}
	return r.account(), classify(err)
}

// Tenants implements service.Directory.
func (s *Store) Tenants(ctx context.Context, p tenant.PlatformScope) ([]tenant.Account, error) {
	if p.Actor() == "" {
		return nil, fault.New(fault.Denied, "HX-STORE-007", "no tenant is given", "")
	}
	rows, err := s.read.QueryContext(ctx, sqlTenants)
	all, err := scanAll(rows, err, func(rows *sql.Rows) (tenant.Account, error) {
		var r tenantRow
		if err := rows.Scan(r.dest()...); err != nil {
			return tenant.Account{}, err
		}
		return r.account(), nil
	})
	return all, classify(err)
}

// CreateTenant implements service.Directory.
func (s *Store) CreateTenant(ctx context.Context, p tenant.PlatformScope, a tenant.Account) error {
	return s.directory(ctx, p, func(t *tx) error {
		n, err := t.exec(`INSERT INTO tenants (id, name, state, paused, weight, max_concurrent_jobs, max_queued_jobs, max_storage_bytes,
			max_bandwidth_bytes, stored_bytes, created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING`,
			string(a.ID), a.Name, string(a.State), flag(a.Paused), a.Weight, a.MaxConcurrentJobs, a.MaxQueuedJobs, a.MaxStorageBytes,
			a.MaxBandwidthBytes, a.StoredBytes, a.CreatedAt.UnixMicro())
		if err != nil {
			return err
		}
		if n == 0 {
			return fault.Newf(fault.Conflict, "HX-TENANT-006", "choose another id; that of a deleted tenant is not given again",
				"there is or was a tenant %s", a.ID)
		}
		return t.append(event.OfAccount(event.TenantCreated, string(a.ID), p.Actor(), "tenant:"+string(a.ID), describeTenant(a), t.now))
	})
}

// ChangeTenant implements service.Directory.
func (s *Store) ChangeTenant(ctx context.Context, p tenant.PlatformScope, id tenant.ID, fn func(a *tenant.Account) error) (a tenant.Account, err error) {
	err = s.directory(ctx, p, func(t *tx) error {
		if a, err = t.held(id); err != nil {
			return err
		}
		before := a
		if err := fn(&a); err != nil || a == before {
			return err
		}
		if err := t.saveTenant(a); err != nil {
			return err
		}
		if before.State == tenant.Active && a.State == tenant.Draining {
			return t.drain(a, p.Actor())
		}
		return t.append(event.OfAccount(event.TenantChanged, string(id), p.Actor(), "tenant:"+string(id), describeTenant(a), t.now))
	})
	return a, err
}

func (t *tx) saveTenant(a tenant.Account) error {
	_, err := t.exec(`UPDATE tenants SET name = $1, state = $2, paused = $3, weight = $4, max_concurrent_jobs = $5, max_queued_jobs = $6,
		max_storage_bytes = $7, max_bandwidth_bytes = $8, stored_bytes = $9 WHERE id = $10`,
		a.Name, string(a.State), flag(a.Paused), a.Weight, a.MaxConcurrentJobs, a.MaxQueuedJobs,
		a.MaxStorageBytes, a.MaxBandwidthBytes, a.StoredBytes, string(a.ID))
	t.touch(event.Queue) // a higher limit, or no pause, may start jobs
	return err
}

// held is account, and nobody else changes the tenant until the end of the
// update.
func (t *tx) held(id tenant.ID) (tenant.Account, error) {
	if _, err := t.exec(`UPDATE tenants SET state = state WHERE id = $1`, string(id)); err != nil {
		return tenant.Account{}, err
	}
	return t.account(id)
}

// account reads a tenant that is not deleted. Kind NotFound.
func (t *tx) account(id tenant.ID) (tenant.Account, error) {
	var r tenantRow
	found, err := t.rowAside(sqlTenant, []any{string(id)}, r.dest()...)
	if err == nil && !found {
		err = tenant.NotFound(id)
	}
	return r.account(), err
}

// describeTenant says for the event log what holds.
func describeTenant(a tenant.Account) string {
	return fmt.Sprintf("name=%q paused=%t weight=%d max_concurrent_jobs=%d max_queued_jobs=%d max_storage_bytes=%d max_bandwidth_bytes=%d stored_bytes=%d",
		a.Name, a.Paused, a.Weight, a.MaxConcurrentJobs, a.MaxQueuedJobs, a.MaxStorageBytes, a.MaxBandwidthBytes, a.StoredBytes)
}

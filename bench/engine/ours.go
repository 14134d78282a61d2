package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // for fill

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// parkedTenant has the parked jobs: it is paused.
const parkedTenant = tenant.ID("parked")

// ours is the store, the service and the dispatcher of hypervisord, put together
// as the daemon does, with the settings that it has by default.
type ours struct {
	store  *store.Store
	svc    *service.Service
	side   *sql.DB // for fill
	page   string  // cursor of list
	caller tenant.Principal
	parked tenant.Principal
}

func openOurs(ctx context.Context, dir, url string) (engine, error) {
	s, err := store.Open(ctx, store.Options{Dir: dir, Postgres: store.PostgresOptions{URL: secret.New(url)}})
	if err != nil {
		return nil, err
	}
	o := &ours{
		store: s, svc: service.New(s, service.Deps{Validator: anything{}, Feed: s}),
		caller: tenant.NewPrincipal(tenant.Default, "bench", tenant.All()...),
		parked: tenant.NewPrincipal(parkedTenant, "bench", tenant.All()...),
	}
	if url != "" {
		o.side, err = sql.Open("pgx", url)
	} else {
		o.side, err = sql.Open("sqlite", "file:"+filepath.Join(dir, "hypersdk.db")+"?_pragma=busy_timeout(60000)&_pragma=synchronous(OFF)")
	}
	if err == nil {
		o.side.SetMaxOpenConns(1)
		_, err = o.side.ExecContext(ctx, `INSERT INTO tenants (id, name, paused, created_at) VALUES ($1, $1, 1, 0)`, string(parkedTenant))
	}
	if err != nil {
		return nil, errors.Join(err, o.close())
	}
	return o, nil
}

// anything accepts all jobs.
type anything struct{}

func (anything) Validate(context.Context, job.Spec) error { return nil }

func (o *ours) submit(ctx context.Context, n int, parked bool) error {
	specs := make([]job.Spec, n)
	for i := range specs {
		specs[i] = job.Spec{VMPath: "/DC/vm/web-01"}
	}
	who := o.caller
	if parked {
		who = o.parked
	}
	_, err := o.svc.Submit(ctx, who, specs, service.SubmitOptions{})
	return err
}

// nothing runs jobs that have nothing to do.
type nothing struct{ started func() }

func (n nothing) Run(context.Context, dispatch.Task) (job.Outcome, error) {
	n.started()
	return job.Outcome{}, nil
}

func (nothing) Cleanup(context.Context, dispatch.Task) error { return nil }

func (o *ours) work(ctx context.Context, workers int, started, ended func()) (stop func() error, err error) {
	ctx, cancel := context.WithCancel(ctx)
	d := dispatch.New(o.store, o.store, nothing{started}, dispatch.Options{
		Workers: workers, Hooks: dispatch.Hooks{Finished: func(job.Job, time.Duration) { ended() }},
	})
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return func() error {
		cancel()
		return <-done
	}, nil
}

func (o *ours) list(ctx context.Context) error {
	page, err := o.svc.Query(ctx, o.parked, service.Query{Cursor: o.page})
	o.page = page.NextCursor
	return err
}

func (o *ours) claim(ctx context.Context) (putBack func() error, err error) {
	leases, err := o.store.Claim(ctx, "bench", time.Minute, 1)
	if err != nil {
		return nil, err
	}
	if len(leases) != 1 {
		return nil, fmt.Errorf("%d jobs claimed", len(leases))
	}
	return func() error {
		_, err := o.store.Apply(ctx, leases[0], job.RetryAt("bench", nil, time.Now()))
		return err
	}, nil
}

func (o *ours) park(ctx context.Context, parked bool) error {
	paused := 0
	if parked {
		paused = 1
	}
	_, err := o.side.ExecContext(ctx, `UPDATE tenants SET paused = $1 WHERE id = $2`, paused, string(parkedTenant))
	return err
}

// fill copies a parked and a completed job, with the tenant of the parked one, so
// that lists go over all of them.
func (o *ours) fill(ctx context.Context, size int) error {
	var count, waits, ended int
	err := errors.Join(
		o.side.QueryRowContext(ctx, `SELECT COUNT(*) FROM jobs`).Scan(&count),
		o.side.QueryRowContext(ctx, `SELECT MIN(seq) FROM jobs WHERE state = 'pending'`).Scan(&waits),
		o.side.QueryRowContext(ctx, `SELECT MIN(seq) FROM jobs WHERE state = 'completed'`).Scan(&ended))
	if err != nil || count >= size {
		return err
	}
	_, err = o.side.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT CAST($1 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS INTEGER) - 1)
		INSERT INTO jobs (id, tenant, state, priority, node, epoch, attempt, max_attempts, submitted_at, started_at, finished_at,
			claimed_at, vm_path, vm_name, spec, ready_at)
		SELECT 'copy-' || n.i, CAST($3 AS TEXT), j.state, j.priority, j.node, j.epoch, j.attempt, j.max_attempts, j.submitted_at, j.started_at, j.finished_at,
			j.claimed_at, j.vm_path, j.vm_name, j.spec, j.ready_at
		FROM n JOIN jobs j ON j.seq = CASE WHEN n.i % 2 = 0 THEN CAST($4 AS INTEGER) ELSE CAST($5 AS INTEGER) END`,
		count, size, string(parkedTenant), waits, ended)
	if err == nil {
		_, err = o.side.ExecContext(ctx, `ANALYZE`)
	}
	return err
}

func (o *ours) close() error {
	var err error
	if o.side != nil {
		err = o.side.Close()
	}
	return errors.Join(err, o.store.Close())
}

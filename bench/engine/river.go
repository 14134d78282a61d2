package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// parkedQueue has the parked jobs: nobody works on it.
const parkedQueue = "parked"

// riverEngine is River with the settings that its documents advise for the
// database, and the fetch intervals of its own benchmark, which are much shorter
// than its defaults.
type riverEngine[TX any] struct {
	driver riverdriver.Driver[TX]
	insert *river.Client[TX]
	side   *sql.DB // for fill
	page   *river.JobListCursor
	closes []func() error
}

// openRiverSQLite opens one connection, as River's SQLite driver wants it, with
// the durability that ours has.
func openRiverSQLite(ctx context.Context, dir string) (engine, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "river.db")+
		"?_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=busy_timeout(5000)&_pragma=foreign_keys(1)&_txlock=immediate")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	return openRiver(ctx, riversqlite.New(db), db, db.Close)
}

func openRiverPostgres(ctx context.Context, url string) (engine, error) {
	c, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	c.MaxConns = 32
	pool, err := pgxpool.NewWithConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	side, err := sql.Open("pgx", url)
	if err != nil {
		return nil, err
	}
	return openRiver(ctx, riverpgxv5.New(pool), side, func() error { pool.Close(); return side.Close() })
}

func openRiver[TX any](ctx context.Context, d riverdriver.Driver[TX], side *sql.DB, closes ...func() error) (engine, error) {
	m, err := rivermigrate.New(d, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	if _, err := m.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, err
	}
	e := &riverEngine[TX]{driver: d, side: side, closes: closes}
	e.insert, err = river.NewClient(d, &river.Config{Logger: slog.New(slog.DiscardHandler)})
	return e, err
}

// args are of a job that names a VM, as ours do.
type args struct {
	VMPath string `json:"vm_path"`
}

// Kind implements river.JobArgs.
func (args) Kind() string { return "export" }

type worker struct {
	river.WorkerDefaults[args]

	started func()
}

// Work implements river.Worker.
func (w *worker) Work(context.Context, *river.Job[args]) error {
	w.started()
	return nil
}

func (e *riverEngine[TX]) submit(ctx context.Context, n int, parked bool) error {
	return e.submitBy(ctx, e.insert, n, parked)
}

func (e *riverEngine[TX]) submitBy(ctx context.Context, c *river.Client[TX], n int, parked bool) error {
	opts := &river.InsertOpts{}
	if parked {
		opts.Queue = parkedQueue
	}
	a := args{VMPath: "/DC/vm/web-01"}
	if n == 1 {
		_, err := c.Insert(ctx, a, opts)
		return err
	}
	many := make([]river.InsertManyParams, n)
	for i := range many {
		many[i] = river.InsertManyParams{Args: a, InsertOpts: opts}
	}
	_, err := c.InsertMany(ctx, many)
	return err
}

// work starts a client that inserts, too: without notifications (SQLite) River
// wakes only the workers of the client that inserted.
func (e *riverEngine[TX]) work(ctx context.Context, size int, started, ended func()) (stop func() error, err error) {
	ws := river.NewWorkers()
	river.AddWorker(ws, &worker{started: started})
	c, err := river.NewClient(e.driver, &river.Config{
		Logger: slog.New(slog.DiscardHandler), Workers: ws, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: size}},
		FetchCooldown: 2 * time.Millisecond, FetchPollInterval: 20 * time.Millisecond,
	})
	if err != nil {
		return nil, err
	}
	events, cancel := c.SubscribeConfig(&river.SubscribeConfig{ChanSize: 1 << 16, Kinds: []river.EventKind{river.EventKindJobCompleted}})
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		for range events {
			ended()
		}
	}()
	if err := c.Start(context.WithoutCancel(ctx)); err != nil {
		return nil, err
	}
	idle := e.insert
	e.insert = c
	return func() error {
		e.insert = idle
		err := c.Stop(context.WithoutCancel(ctx))
		cancel()
		<-heard
		return err
	}, nil
}

func (e *riverEngine[TX]) list(ctx context.Context) error {
	p := river.NewJobListParams().First(50).OrderBy(river.JobListOrderByID, river.SortOrderDesc)
	if e.page != nil {
		p = p.After(e.page)
	}
	r, err := e.insert.JobList(ctx, p)
	if err == nil {
		e.page = r.LastCursor
	}
	return err
}

func (e *riverEngine[TX]) fill(ctx context.Context, size int) error {
	var count, waits, ended int
	err := errors.Join(
		e.side.QueryRowContext(ctx, `SELECT COUNT(*) FROM river_job`).Scan(&count),
		e.side.QueryRowContext(ctx, `SELECT MIN(id) FROM river_job WHERE state = 'available'`).Scan(&waits),
		e.side.QueryRowContext(ctx, `SELECT MIN(id) FROM river_job WHERE state = 'completed'`).Scan(&ended))
	if err != nil || count >= size {
		return err
	}
	_, err = e.side.ExecContext(ctx, `WITH RECURSIVE n(i) AS (SELECT CAST($1 AS INTEGER) UNION ALL SELECT i + 1 FROM n WHERE i < CAST($2 AS INTEGER) - 1)
		INSERT INTO river_job (args, attempt, attempted_at, attempted_by, created_at, finalized_at, kind, max_attempts, metadata, priority, queue, state, scheduled_at, tags)
		SELECT args, attempt, attempted_at, attempted_by, created_at, finalized_at, kind, max_attempts, metadata, priority, queue, state, scheduled_at, tags
		FROM n JOIN river_job j ON j.id = CASE WHEN n.i % 2 = 0 THEN CAST($3 AS INTEGER) ELSE CAST($4 AS INTEGER) END`, count, size, waits, ended)
	if err == nil {
		_, err = e.side.ExecContext(ctx, `ANALYZE`)
	}
	return err
}

func (e *riverEngine[TX]) close() error {
	var errs []error
	for _, c := range e.closes {
		errs = append(errs, c())
	}
	return errors.Join(errs...)
}

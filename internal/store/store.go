// Package store keeps jobs, events, leases, checkpoints and the ledger of remote
// objects in one SQL database: SQLite in the state directory, or a PostgreSQL that
// several nodes share. It implements the ports of service and dispatch. What a call
// changed is on the disk (write-ahead log, fsync) when it returns nil.
package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/hypersdk/hypersdk/internal/admission"
	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/limit"
	"github.com/hypersdk/hypersdk/internal/node"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
)

// readers is how many queries run at once.
const readers = 4

// Sync says what a commit waits for.
type Sync string

// Full is the default: a commit survives a power cut. With Normal or Off it
// survives only the end of the process: for a temporary store, or to show that
// a test of durability can fail.
const (
	Full   Sync = "FULL"
	Normal Sync = "NORMAL"
	Off    Sync = "OFF"
)

// Options say where and how the store keeps its data.
type Options struct {
	Dir         string           // state directory; made if it is missing
	Synchronous Sync             // of SQLite; "": Full
	Now         func() time.Time // nil: the machine's clock, or PostgreSQL's
	Postgres    PostgresOptions  // its zero value: SQLite in Dir
	Policy      admission.Policy // who starts next; zero values: its defaults
	Log         *slog.Logger     // nil: discards
	Committed   CommitHook       // nil: nobody looks
}

// PostgresOptions name a PostgreSQL database.
type PostgresOptions struct {
	URL      secret.Secret // postgres://USER@HOST:PORT/DATABASE
	Password secret.Secret // empty: as in the URL, PGPASSWORD or PGPASSFILE
}

// Store is an open store.
type Store struct {
	lock  *os.File
	write *sql.DB
	read  *pool
	w     *writer
	clock clock
	hub   *event.Hub
	ears  *listener // nil: SQLite, which has no other nodes

	policy admission.Policy
	signer *audit.Signer // of checkpoints of the log; nil: none are signed
	close  func() error
}

var (
	_ service.Store = (*Store)(nil)
	_ service.Feed  = (*Store)(nil)

	_ service.DueSchedules   = (*Store)(nil)
	_ service.RetentionStore = (*Store)(nil)

	_ dispatch.Queue   = (*Store)(nil)
	_ dispatch.Orphans = (*Store)(nil)
	_ dispatch.Backlog = (*Store)(nil)
	_ node.Registry    = (*Store)(nil)
	_ service.Nodes    = (*Store)(nil)
	_ limit.Board      = (*Store)(nil)
)

// Open opens the store in a directory that no other process uses, makes it if
// there is none, and brings its schema up to date. Kinds: Conflict (in use),
// Unprocessable (written by a newer version), Unavailable (cannot be used).
func Open(ctx context.Context, o Options) (*Store, error) {
	if o.Synchronous == "" {
		o.Synchronous = Full
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, unusable(o.Dir, err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, unusable(dir, err)
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Store{lock: lock, clock: newClock(o.Now), hub: &event.Hub{}, policy: o.Policy.WithDefaults()}
	s.close = sync.OnceValue(s.closeAll)
	if o.Postgres.URL.Empty() {
		err = s.openSQLite(ctx, filepath.Join(dir, "hypersdk.db"), o)
	} else {
		err = s.openPostgres(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) openSQLite(ctx context.Context, file string, o Options) error {
	// SQLite gives its other files the permissions of this one.
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return unusable(filepath.Dir(file), err)
	}
	if err := f.Close(); err != nil {
		return unusable(filepath.Dir(file), err)
	}
	if s.write, err = openSQLite(file, o.Synchronous, 0); err != nil {
		return err
	}
	if err := migrateSQLite(ctx, s.write); err != nil {
		return err
	}
	reading, err := openSQLite(file, o.Synchronous, readers)
	if err != nil {
		return err
	}
	s.read = &pool{DB: reading, prepares: true}
	s.w, err = newWriter(ctx, sqliteDialect, s.write, s.clock, s.hub, nil, o.Committed)
	return err
}

func (s *Store) openPostgres(ctx context.Context, o Options) error {
	c, err := parsePostgres(o.Postgres)
	if err != nil {
		return err
	}
	if o.Now == nil {
		s.clock = newSharedClock()
	}
	d := postgresDialect
	d.primary = toPrimary(c)
	s.write = openPostgres(c, d.primary, max(2, d.writers), false)
	s.read = &pool{DB: openPostgres(c, d.primary, 2*readers, true)}
	if err := migratePostgres(ctx, s.write); err != nil {
		return err
	}
	if s.clock.set != nil {
		now, err := ask(ctx, s.read.DB, d.clock)
		if err != nil {
			return err
		}
		s.clock.set(now)
	}
	if s.ears, err = listen(ctx, c, d.primary, s.hub, o.Log); err != nil {
		return err
	}
	s.w, err = newWriter(ctx, d, s.write, s.clock, s.hub, s.ears.tell, o.Committed)
	return err
}

// Fatal delivers the error after which the store takes no more changes: an I/O
// error of the disk below. End the process; the next one recovers.
func (s *Store) Fatal() <-chan error { return s.w.fatal }

// Watch implements service.Feed.
func (s *Store) Watch(topic event.Topic) (wake <-chan struct{}, stop func()) {
	return s.hub.Watch(topic)
}

// Close finishes the updates that have been asked for and closes the store. It
// is idempotent.
func (s *Store) Close() error { return s.close() }

func (s *Store) closeAll() error {
	var errs []error
	if s.ears != nil {
		s.ears.close()
	}
	if s.w != nil {
		errs = append(errs, s.w.close())
	}
	if s.read != nil {
		errs = append(errs, s.read.Close())
	}
	if s.write != nil {
		errs = append(errs, s.write.Close())
	}
	return errors.Join(append(errs, s.lock.Close())...)
}

package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// time0 is recent, so that idempotency keys are kept.
var time0 = time.Now()

func TestSecondDaemonIsRefused(t *testing.T) {
	dir := t.TempDir()
	open(t, store.Options{Dir: dir})
	_, err := store.Open(t.Context(), store.Options{Dir: dir})
	if !fault.Is(err, fault.Conflict) || !strings.Contains(err.Error(), "in use") || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Errorf("got %v", err)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	alter(t, dir, `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`)
	_, err = store.Open(t.Context(), store.Options{Dir: dir})
	if !fault.Is(err, fault.Unprocessable) || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("got %v", err)
	}
	alter(t, dir, `DELETE FROM goose_db_version WHERE version_id = 9999`)
	open(t, store.Options{Dir: dir})
}

// alter changes the database behind the store's back.
func alter(t *testing.T, dir, statement string) {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "hypersdk.db"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.ExecContext(t.Context(), statement)
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestUnusableDirectories(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("not a database, just some text that is long enough"), 0o600); err != nil {
		t.Fatal(err)
	}
	garbage := t.TempDir()
	if err := os.Rename(file, filepath.Join(garbage, "hypersdk.db")); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, dir string }{
		{"a file in the way", filepath.Join(garbage, "hypersdk.db", "x")},
		{"no directory can be made", "/proc/nowhere"},
		{"garbage in the file", garbage},
	} {
		_, err := store.Open(t.Context(), store.Options{Dir: c.dir})
		if !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "%!") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestOddDirectoryNames(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a b?c#d%20e&f=g'ü")
	open(t, store.Options{Dir: dir})
	info, err := os.Stat(filepath.Join(dir, "hypersdk.db"))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the database has mode %v", info.Mode())
	}
	if info, err = os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the directory: %v, %v", info, err)
	}
}

func TestClose(t *testing.T) {
	s := open(t, store.Options{})
	if _, _, err := submit(t.Context(), s, "1"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Fatal(err)
	}
	if _, _, err := submit(t.Context(), s, "2"); !fault.Is(err, fault.Unavailable) {
		t.Errorf("a closed store answers %v", err)
	}
}

// TestGiveUpBeforeItsTurn: an update whose caller left before it began does not
// happen; one that has begun is carried through.
func TestGiveUpBeforeItsTurn(t *testing.T) {
	s := open(t, store.Options{})
	scope, err := tenant.NewPrincipal(tenant.Default, "tester", tenant.All()...).Scope(tenant.JobSubmit)
	if err != nil {
		t.Fatal(err)
	}
	began, goOn, done := make(chan struct{}), make(chan struct{}), make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		done <- s.Update(ctx, scope, func(tx service.Tx) error {
			close(began)
			<-goOn
			return tx.Remember("begun", []byte("digest"), []byte("answer"))
		})
	}()
	<-began
	go func() {
		_, _, err := submit(ctx, s, "waiting")
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("the waiting update: %v", err)
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Errorf("the update that had begun: %v", err)
	}
	if _, err := s.Reader(scope).Job(t.Context(), "job-waiting"); !fault.Is(err, fault.NotFound) {
		t.Errorf("the waiting update happened: %v", err)
	}
}

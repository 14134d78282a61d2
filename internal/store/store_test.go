package store_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
	"github.com/hypersdk/hypersdk/internal/store/storetest"
)

func TestMain(m *testing.M) {
	child()
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := pgtest.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// open opens a store in a directory and closes it at the end of the test.
func open(t testing.TB, o store.Options) *store.Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := store.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		return open(t, store.Options{Now: now, Synchronous: store.Off})
	})
}

// postgres opens a store on a PostgreSQL database, as one node of several.
func postgres(t testing.TB, url string, o store.Options) *store.Store {
	t.Helper()
	o.Postgres.URL = secret.New(url)
	return open(t, o)
}

func TestConformancePostgres(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
		return postgres(t, pgtest.Database(t), store.Options{Now: now})
	})
}

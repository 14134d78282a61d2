package store

import (
	"fmt"
	"path/filepath"
	"testing"

	"golang.org/x/sync/errgroup"
)

// TestPool: what is asked again is prepared once, by however many at the same time; what
// is one text too many is answered as well; and nobody who got an answer keeps the log
// from being written back into the database.
func TestPool(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if len(s.read.kept) != 0 {
			t.Errorf("%d statements are open", len(s.read.kept))
		}
	})
	var g errgroup.Group
	for i := range 4 * maxKept {
		g.Go(func() error {
			var n int
			want := i % (2 * maxKept)
			err := s.read.QueryRowContext(t.Context(), fmt.Sprintf(`SELECT COUNT(*) + %d FROM jobs WHERE seq > $1`, want), 0).Scan(&n)
			if err == nil && n != want {
				err = fmt.Errorf("%d of %d", n, want)
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		t.Error(err)
	}
	if n := len(s.read.kept); n != maxKept {
		t.Errorf("%d texts are kept", n)
	}
	var rows, busy, left, done int
	if err := s.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM tenants`).Scan(&rows); err != nil || rows == 0 {
		t.Error(rows, err)
	}
	other, err := openSQLite(filepath.Join(dir, "hypersdk.db"), Full, 0) // the writer keeps its connection
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.QueryRowContext(t.Context(), `PRAGMA wal_checkpoint(TRUNCATE)`).Scan(&busy, &left, &done); err != nil || busy != 0 {
		t.Errorf("the log cannot be truncated: %d, %v", busy, err)
	}
	if err := s.read.QueryRowContext(t.Context(), `SELECT nothing FROM nowhere`).Scan(&rows); err == nil {
		t.Error("a wrong statement was answered")
	}
}

package store_test

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// furnish puts something into every table that jobs have.
func furnish(t *testing.T, dir string) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 5 {
		mustSubmit(t, s, fmt.Sprint(i))
	}
	leases, err := s.Claim(t.Context(), "a", time.Minute, 3)
	if err != nil || len(leases) != 3 {
		t.Fatal(leases, err)
	}
	yes := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
	}
	yes(s.Checkpoints(leases[0]).Append(t.Context(), "2000", 64, nil, []byte{0, 1, 255}))
	yes(s.Checkpoints(leases[0]).Append(t.Context(), "2000", 128, []byte("d"), []byte("r")))
	yes(s.SaveToken(t.Context(), leases[0], []byte("token\x00")))
	_, err = s.Ledger(leases[0]).Intend(t.Context(), "snapshot", `{"name":"ü"}`)
	yes(err)
	_, err = s.Apply(t.Context(), leases[1], job.CompleteWith("a", job.Outcome{
		Artifacts: []job.Artifact{{Name: "x", Bytes: 1 << 41}}, Receipt: []byte(`{"root":"ab"}`),
	}))
	yes(err)
	_, err = s.Apply(t.Context(), leases[2], job.RetryAt("a", errors.New("planned"), time.Now().Add(time.Hour)))
	yes(err)
	yes(s.Close())
}

// content reads every row of every table as text.
func content(t *testing.T, driver, dsn string, tables []store.Moved) map[string][]string {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	all := map[string][]string{}
	for _, m := range tables {
		rows, err := db.QueryContext(t.Context(), "SELECT * FROM "+m.Table) //nolint:unqueryvet // all of them
		if err != nil {
			t.Fatal(err)
		}
		defer rows.Close()
		names, err := rows.Columns()
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			values, into := make([]any, len(names)), make([]any, len(names))
			for i := range values {
				into[i] = &values[i]
			}
			if err := rows.Scan(into...); err != nil {
				t.Fatal(err)
			}
			var line strings.Builder
			for i, v := range values {
				if b, ok := v.([]byte); ok {
					v = string(b)
				}
				fmt.Fprintf(&line, "%s=%#v ", names[i], v)
			}
			all[m.Table] = append(all[m.Table], line.String())
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		slices.Sort(all[m.Table])
	}
	return all
}

// TestMoveToPostgres: every row of every table arrives, and the store goes on
// where it was.
func TestMoveToPostgres(t *testing.T) {
	t.Parallel()
	dir, dsn := t.TempDir(), pgtest.Database(t)
	furnish(t, dir)
	to := store.PostgresOptions{URL: secret.New(dsn)}
	moved, err := store.MoveToPostgres(t.Context(), dir, to)
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
	want := content(t, "sqlite", filepath.Join(dir, "hypersdk.db"), moved)
	got := content(t, "pgx", dsn, moved)
	for _, m := range moved {
		if !slices.Equal(got[m.Table], want[m.Table]) || int(m.Rows) != len(got[m.Table]) {
			t.Errorf("%s (%d rows):\ngot  %v\nwant %v", m.Table, m.Rows, got[m.Table], want[m.Table])
		}
	}
	for _, table := range []string{"jobs", "events", "checkpoints", "checkpoint_records", "ledger", "answers"} {
		if len(got[table]) == 0 {
			t.Errorf("%s is empty: the test proves nothing about it", table)
		}
	}
	if _, err := store.MoveToPostgres(t.Context(), dir, to); !fault.Is(err, fault.Conflict) {
		t.Errorf("a target with data: %v", err)
	}

	s := postgres(t, dsn, store.Options{})
	_, last, err := submit(t.Context(), s, "new")
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
	id, _, err := submit(t.Context(), s, "0")
	if err == nil {
		t.Errorf("the key of an old job made %s again", id)
	}
	if n, err := s.TakeBack(t.Context(), "a"); n != 1 || err != nil {
		t.Errorf("the node takes back %d, %v", n, err)
	}
	jobs, err := s.Reader(submitter(t)).Jobs(t.Context(), service.Query{Limit: 100}, 0)
	if err != nil || len(jobs) != 6 || jobs[0].ID != last.ID {
		t.Errorf("%d jobs, %v", len(jobs), err)
	}
}

func TestMoveRefused(t *testing.T) {
	t.Parallel()
	to := store.PostgresOptions{URL: secret.New(pgtest.Database(t))}
	if _, err := store.MoveToPostgres(t.Context(), t.TempDir(), to); !fault.Is(err, fault.NotFound) {
		t.Errorf("no store: %v", err)
	}
	dir := t.TempDir()
	open(t, store.Options{Dir: dir})
	if _, err := store.MoveToPostgres(t.Context(), dir, to); !fault.Is(err, fault.Conflict) {
		t.Errorf("a store in use: %v", err)
	}
}

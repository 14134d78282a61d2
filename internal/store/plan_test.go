package store

import (
	"database/sql"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// TestPlans: each question of the claim loop is answered from the index that
// holds only the rows it is about, without sorting, so that its cost does not
// depend on the size of the table.
func TestPlans(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Synchronous: Off})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for _, c := range []struct {
		name, query string
		indexes     []string
	}{
		{"shares", sqlShares, []string{"jobs_age (tenant>?)", "jobs_lane (tenant=? AND priority>? AND priority<?)", "jobs_age", "jobs_slots"}},
		{"share of one", sqlShareOf, []string{"jobs_lane (tenant=? AND priority>? AND priority<?)", "jobs_age", "jobs_slots"}},
		{"any ready", sqlAnyReady, []string{"jobs_", "jobs_delayed"}},
		{"lane", sqlLane, []string{"jobs_lane (tenant=? AND priority>? AND priority<?)"}},
		{"ages", sqlAges, []string{"jobs_age (tenant=?)"}},
		{"due", sqlDue, []string{"jobs_delayed"}},
		{"took", sqlTook, []string{"jobs_state"}},
		{"held", sqlHeld, []string{"jobs_slots"}},
		{"promote", sqlPromote, []string{"jobs_delayed"}},
		{"ready since", sqlReadySince, []string{"INDEX jobs_"}},
		{"overdue since", sqlOverdueSince, []string{"jobs_delayed"}},
		{"heads", sqlHeads, []string{"jobs_age (tenant>?)", "jobs_lane (tenant=? AND priority>? AND priority<?)"}},
		{"leases", sqlLeases, []string{"jobs_leased"}},
		{"clean", sqlClean, []string{"jobs_cleanup"}},
		{"expired", sqlExpired, []string{"jobs_leased"}},
		{"leased by", sqlLeasedBy, []string{"jobs_leased"}},
		{"cancelling", sqlCancelling, []string{"jobs_leased"}},
		{"list", pageOf(s, "t", service.Query{}), []string{"jobs_tenant (tenant=? AND seq<?)"}},
		{"list of a state", pageOf(s, "t", service.Query{States: []job.State{job.Failed}}), []string{"jobs_state (tenant=? AND state=? AND seq<?)"}},
		{"list of a VM", pageOf(s, "t", service.Query{VM: "/a/vm"}), []string{"jobs_vm (tenant=? AND vm_name=? AND seq<?)"}},
		{"waiting of a tenant", sqlWaiting, []string{"jobs_state"}},
		{"quota", `SELECT 1 FROM jobs WHERE tenant = $1 AND state = 'pending' LIMIT $2`, []string{"COVERING INDEX jobs_"}},
		{"key", sqlDigest, []string{"api_keys"}},
		{"keys", sqlKeys, []string{"api_keys_tenant"}},
		{"usage", sqlUsage, []string{"usage_months"}},
		{"backlog", `SELECT state, COUNT(*) FROM jobs WHERE tenant = $1 GROUP BY state`, []string{"COVERING INDEX jobs_state"}},
		{"events", `SELECT seq FROM events WHERE job_id = $1 AND tenant = $2 AND seq > $3 ORDER BY seq LIMIT $4`, []string{"events_job"}},
	} {
		plan := explain(t, s.read.DB, c.query)
		for _, want := range c.indexes {
			if !strings.Contains(plan, want) {
				t.Errorf("%s: no %s in\n%s", c.name, want, plan)
			}
		}
		for line := range strings.Lines(plan) {
			if strings.Contains(line, "TEMP B-TREE") || strings.Contains(line, "SCAN") && !strings.Contains(line, "INDEX jobs_") && !strings.Contains(line, "SCAN a\n") && !strings.Contains(line, "SCAN recent") && !strings.Contains(line, "SCAN waiting") && // the tenants that wait, 20 rows
				!strings.Contains(line, "CONSTANT ROW") && !strings.Contains(line, "LIST SUBQUERY") {
				t.Errorf("%s: %s", c.name, line)
			}
		}
	}
}

// TestPlansPostgres: on PostgreSQL no question of the claim loop, and no page of a
// list, looks at more than a few rows, whether there are statistics or not: with a
// tenant that has many jobs of one class, one that has few, and one that has none.
func TestPlansPostgres(t *testing.T) {
	t.Parallel()
	const jobs, few = 20_000, 300
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Postgres: PostgresOptions{URL: secret.New(pgtest.Database(t))}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	run := func(query string, args ...any) {
		if _, err := s.write.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	const insert = `INSERT INTO jobs (id, tenant, state, priority, max_attempts, submitted_at, vm_path, vm_name, spec, ready_at) `
	run(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1) `+insert+`
		SELECT 'job-' || i, CASE WHEN i > $1 - 10 THEN 'small' WHEN i * 7919 % 10 < 5 THEN 'large' ELSE 'other' END,
			CASE WHEN i % 2 = 0 THEN 'pending' ELSE 'completed' END, 2, 3, i, '/vm', 'vm', '{}', i * 7919 % $1 FROM n`, jobs)
	for _, statistics := range []string{"none", "good", "old"} {
		switch statistics {
		case "good":
			run(`ANALYZE`)
		case "old": // of a tenant that had hardly any jobs then
			run(insert+`SELECT 'more-' || seq, 'small', 'pending', 2, 3, seq, '/vm', 'vm', '{}', seq FROM jobs WHERE seq <= $1`, jobs/4)
		}
		type question struct {
			name, query string
			args        []any
		}
		all := []question{
			{"shares", sqlShares, nil},
			{"any ready", sqlAnyReady, []any{int64(1)}},
			{"any to clean", sqlAnyToClean, []any{int64(1)}},
			{"promote", sqlPromote, []any{int64(1), 500}},
			{"heads", sqlHeads, nil},
		}
		for _, tenant := range []string{"large", "other", "small", "none"} {
			for class := range 4 {
				all = append(all, question{"lane", sqlLaneAhead, []any{tenant, class, int64(0), 64}},
					question{"lane behind", sqlLaneAhead, []any{tenant, class, int64(jobs + 8), 64}}, question{"explained lane", sqlLane, []any{tenant, class, 64}})
			}
			all = append(all, question{"took", sqlTook, []any{tenant}})
			for _, q := range []service.Query{{}, {States: []job.State{job.Completed}}, {States: []job.State{job.Failed}}, {VM: "vm"}, {VM: "/other"}} {
				for _, before := range []int64{0, jobs / 2} {
					q.Limit = 50
					query, args := (&reader{s: s, tenant: tenant}).page(q, before)
					all = append(all, question{"page", query, args})
				}
			}
			all = append(all, question{"ages", sqlAgesAhead, []any{tenant, 64}})
		}
		for _, q := range all {
			if n := rowsLookedAt(t, s, q.query, q.args...); n > few {
				t.Errorf("%s %v looks at %d rows (statistics: %s)", q.name, q.args, n, statistics)
			}
		}
	}
}

// rowsLookedAt runs a query and counts the rows that its plan took up or threw away,
// in the step that had the most.
func rowsLookedAt(t *testing.T, s *Store, query string, args ...any) (most int) {
	t.Helper()
	var text []byte
	if err := s.write.QueryRowContext(t.Context(), "EXPLAIN (ANALYZE, FORMAT JSON) "+s.w.d.sql(query), args...).Scan(&text); err != nil {
		t.Fatal(err)
	}
	type step struct {
		Rows    float64 `json:"Actual Rows"`
		Loops   float64 `json:"Actual Loops"`
		Removed float64 `json:"Rows Removed by Filter"`
		Plans   []step  `json:"Plans"`
	}
	var plans []struct {
		Plan step `json:"Plan"`
	}
	if err := json.Unmarshal(text, &plans); err != nil {
		t.Fatal(err)
	}
	var walk func(step)
	walk = func(p step) {
		most = max(most, int((p.Rows+p.Removed)*p.Loops))
		for _, below := range p.Plans {
			walk(below)
		}
	}
	walk(plans[0].Plan)
	return most
}

func pageOf(s *Store, tenant string, q service.Query) string {
	query, _ := (&reader{s: s, tenant: tenant}).page(q, 0)
	return query
}

func explain(t *testing.T, db *sql.DB, query string) string {
	t.Helper()
	args := make([]any, strings.Count(query, "$"))
	rows, err := db.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+query, args...)
	lines, err := scanAll(rows, err, func(rows *sql.Rows) (string, error) {
		var a, b, c int
		var detail string
		err := rows.Scan(&a, &b, &c, &detail)
		return detail + "\n", err
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "")
}

// TestPragmas: both pools have what durability and integrity rest on.
func TestPragmas(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, want := range map[string]string{
		"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "busy_timeout": "5000", "wal_autocheckpoint": "0",
	} {
		var got, read string
		if err := s.w.conn.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if err := s.read.QueryRowContext(t.Context(), "PRAGMA "+name).Scan(&read); err != nil {
			t.Fatal(err)
		}
		if got != want || read != want {
			t.Errorf("%s is %s for writing and %s for reading, want %s", name, got, read, want)
		}
	}
	if _, err := s.read.ExecContext(t.Context(), "DELETE FROM jobs"); err == nil {
		t.Error("a reader can write")
	}
}

// TestEndForgetsToken: a job that has ended keeps no handle to a frozen VM.
func TestEndForgetsToken(t *testing.T) {
	s, err := Open(t.Context(), Options{Dir: t.TempDir(), Synchronous: Off})
	if err != nil {
		t.Fatal(err)
	}
	j := job.New("id", "t", job.Spec{VMPath: "/vm"}.WithDefaults(), time.Now())
	err = s.w.update(t.Context(), func(tx *tx) error { return tx.insert(&j, "tester") })
	if err != nil {
		t.Fatal(err)
	}
	leases, err := s.Claim(t.Context(), "a", time.Minute, 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SaveToken(t.Context(), leases[0], []byte("token")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(t.Context(), leases[0], job.CompleteWith("a", job.Outcome{})); err != nil {
		t.Fatal(err)
	}
	var kept int
	err = s.read.QueryRowContext(t.Context(), `SELECT COUNT(*) FROM jobs WHERE token IS NOT NULL`).Scan(&kept)
	if err := errors.Join(err, s.Close()); err != nil || kept != 0 {
		t.Errorf("%d tokens are kept, %v", kept, err)
	}
}

package store

import (
	"database/sql"
	"io/fs"
	"regexp"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib"

	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// TestMigrationsTranslate: no word of SQLite is left in a translated migration,
// all of them apply, and every column has one of the types that the store reads.
func TestMigrationsTranslate(t *testing.T) {
	t.Parallel()
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		t.Fatal(err)
	}
	names, err := fs.Glob(dir, "*.sql")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	left := regexp.MustCompile(`(?i)\b(integer|blob|autoincrement|real|pragma|rowid|glob|datetime|strftime|json_\w+|ifnull|without)\b`)
	for _, name := range names {
		text, err := fs.ReadFile(forPostgres{dir}, name)
		if err != nil {
			t.Fatal(err)
		}
		if word := left.FindString(comments.ReplaceAllString(string(text), "")); word != "" {
			t.Errorf("%s: %q is SQLite's; keep to plain SQL", name, word)
		}
	}
	db, err := sql.Open("pgx", pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 2 {
		if err := migratePostgres(t.Context(), db); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := db.QueryContext(t.Context(), `SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
		WHERE table_schema = current_schema() AND table_name <> 'goose_db_version' AND data_type NOT IN ('bigint', 'text', 'bytea', 'double precision')`)
	odd, err := scanAll(rows, err, func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) })
	if err != nil || len(odd) > 0 {
		t.Errorf("odd columns %v, %v", odd, err)
	}
}

func TestParsePostgres(t *testing.T) {
	t.Setenv("PGSSLMODE", "")
	for url, verified := range map[string]bool{
		"postgres://u@db.example.com/x":                 true,
		"postgres://u@10.0.0.1:5433/x":                  true,
		"postgres://u@a.example.com,127.0.0.1/x":        true,
		"postgres://u@db.example.com/x?sslmode=disable": false,
		"postgres://u@localhost/x":                      false,
		"postgres://u@[::1]:5432/x":                     false,
		"postgres:///x?host=/run/postgresql":            false,
	} {
		c, err := parsePostgres(PostgresOptions{URL: secret.New(url)})
		if err != nil {
			t.Fatal(err)
		}
		if got := c.TLSConfig != nil && !c.TLSConfig.InsecureSkipVerify; got != verified {
			t.Errorf("%s: verified is %v", url, got)
		}
		for _, f := range c.Fallbacks {
			if verified && f.TLSConfig == nil {
				t.Errorf("%s falls back to plain text", url)
			}
		}
	}
}

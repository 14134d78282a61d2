package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// table is a table of the schema, as a copy needs it.
type table struct {
	name     string
	columns  []string
	text     []bool // which columns hold text
	identity string // the column that counts by itself, or empty
	parents  []string
}

func quote(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func (t *table) quoted() string { return quote(t.name) }

// listTables lists the tables of a SQLite store, each after those that it refers
// to.
func listTables(ctx context.Context, db *sql.DB) ([]table, error) {
	rows, err := db.QueryContext(ctx, `SELECT name, sql FROM sqlite_master WHERE type = 'table'
		AND name NOT LIKE 'sqlite_%' AND name <> 'goose_db_version' ORDER BY name`)
	type found struct{ name, sql string }
	all, err := scanAll(rows, err, func(rows *sql.Rows) (f found, err error) { return f, rows.Scan(&f.name, &f.sql) })
	if err != nil {
		return nil, classify(err)
	}
	var tables []table
	for _, f := range all {
		t := table{name: f.name}
		if err := t.describe(ctx, db, strings.Contains(f.sql, "AUTOINCREMENT")); err != nil {
			return nil, classify(err)
		}
		tables = append(tables, t)
	}
	return parentsFirst(tables), nil
}

func (t *table) describe(ctx context.Context, db *sql.DB, counts bool) error {
	type column struct {
		name, kind string
		key        int
	}
	rows, err := db.QueryContext(ctx, `SELECT name, type, pk FROM pragma_table_info($1) ORDER BY cid`, t.name)
	columns, err := scanAll(rows, err, func(rows *sql.Rows) (c column, err error) { return c, rows.Scan(&c.name, &c.kind, &c.key) })
	if err != nil {
		return err
	}
	for _, c := range columns {
		t.columns = append(t.columns, c.name)
		t.text = append(t.text, c.kind == "TEXT")
		if counts && c.key == 1 {
			t.identity = c.name
		}
	}
	rows, err = db.QueryContext(ctx, `SELECT DISTINCT "table" FROM pragma_foreign_key_list($1)`, t.name)
	t.parents, err = scanAll(rows, err, func(rows *sql.Rows) (s string, err error) { return s, rows.Scan(&s) })
	return err
}

// parentsFirst puts every table behind those that it refers to. A circle, which
// the schema does not have, stays in the order of the names.
func parentsFirst(tables []table) (sorted []table) {
	placed := map[string]bool{}
	for len(tables) > 0 {
		next := max(0, slices.IndexFunc(tables, func(t table) bool {
			return !slices.ContainsFunc(t.parents, func(p string) bool { return p != t.name && !placed[p] })
		}))
		placed[tables[next].name] = true
		sorted = append(sorted, tables[next])
		tables = slices.Delete(slices.Clone(tables), next, next+1)
	}
	return sorted
}

// copy carries all rows over and lets the identity go on behind them.
func (t *table) copy(ctx context.Context, from *sql.DB, to *sql.Tx) (n int64, err error) {
	names, places := make([]string, len(t.columns)), make([]string, len(t.columns))
	for i, c := range t.columns {
		names[i], places[i] = quote(c), fmt.Sprintf("$%d", i+1)
	}
	list := strings.Join(names, ", ")
	insert, err := to.PrepareContext(ctx, `INSERT INTO `+t.quoted()+` (`+list+`) VALUES (`+strings.Join(places, ", ")+`)`) //nolint:gosec // names of our schema
	if err != nil {
		return 0, err
	}
	defer insert.Close()                                                                      //nolint:errcheck // only memory
	rows, err := from.QueryContext(ctx, `SELECT `+list+` FROM `+t.quoted()+` ORDER BY rowid`) //nolint:gosec // names of our schema
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // Err below tells
	for ; rows.Next(); n++ {
		values, err := t.scan(rows)
		if err != nil {
			return n, err
		}
		if _, err := insert.ExecContext(ctx, values...); err != nil {
			return n, err
		}
	}
	if err := rows.Err(); err != nil || t.identity == "" {
		return n, err
	}
	var last int64 // given out, be it to a row that is gone
	err = from.QueryRowContext(ctx, `SELECT seq FROM sqlite_sequence WHERE name = $1`, t.name).Scan(&last)
	if errors.Is(err, sql.ErrNoRows) {
		return n, nil
	}
	if err == nil {
		_, err = to.ExecContext(ctx, `SELECT setval(pg_get_serial_sequence($1, $2), $3)`, t.quoted(), t.identity, last)
	}
	return n, err
}

// scan reads a row. SQLite keeps what it was given: a text may be stored as bytes.
func (t *table) scan(rows *sql.Rows) ([]any, error) {
	values, into := make([]any, len(t.columns)), make([]any, len(t.columns))
	for i := range values {
		into[i] = &values[i]
	}
	if err := rows.Scan(into...); err != nil {
		return nil, err
	}
	for i, v := range values {
		switch b, bytes := v.([]byte); {
		case !bytes:
		case t.text[i]:
			values[i] = string(b)
		case b == nil:
			values[i] = []byte{} // an empty value is no NULL
		}
	}
	return values, nil
}

package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// The migrations are written for SQLite; migrations_postgres.go translates them.
//
//go:embed migrations/sqlite/*.sql
var migrations embed.FS

func migrateSQLite(ctx context.Context, db *sql.DB) error {
	dir, err := fs.Sub(migrations, "migrations/sqlite")
	if err != nil {
		return fmt.Errorf("open the migrations: %w", err)
	}
	return migrate(ctx, db, goose.DialectSQLite3, dir)
}

// migrate brings the schema up to what this program knows, each step in one
// transaction. Kind Unprocessable if a newer program has been here.
func migrate(ctx context.Context, db *sql.DB, dialect goose.Dialect, dir fs.FS) error {
	p, err := goose.NewProvider(dialect, db, dir)
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	have, want, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read the schema version: %w", classify(err))
	}
	if have > want {
		return fault.Newf(fault.Unprocessable, "HX-STORE-003", "install the newer version again, or restore a backup of the state directory",
			"the state directory was used by a newer version: its schema is %d, this program knows %d", have, want)
	}
	if have == want {
		return nil
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("migrate the schema from %d to %d: %w", have, want, classify(err))
	}
	return nil
}

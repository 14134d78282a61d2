package daemon

import (
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store"
)

// sqlite is the store in the state directory.
const sqlite = "sqlite"

// Database says where the jobs are kept: sqlite, or the URL of a PostgreSQL
// database. A password in the URL does not show.
type Database struct{ url secret.Secret }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Database) UnmarshalText(b []byte) error {
	d.url = secret.New(string(b))
	return nil
}

// MarshalText shows the URL without its password.
func (d Database) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String is the URL without its password.
func (d Database) String() string {
	if d.url.Empty() || d.url.Reveal() == sqlite {
		return sqlite
	}
	u, err := url.Parse(d.url.Reveal())
	if err != nil || !d.postgres() {
		return d.url.String()
	}
	q := u.Query()
	for key := range q {
		if strings.Contains(key, "password") {
			q.Set(key, "xxxxx")
		}
	}
	u.RawQuery = q.Encode()
	return u.Redacted()
}

// LogValue implements slog.LogValuer.
func (d Database) LogValue() slog.Value { return slog.StringValue(d.String()) }

func (d Database) postgres() bool {
	return strings.HasPrefix(d.url.Reveal(), "postgres://") || strings.HasPrefix(d.url.Reveal(), "postgresql://")
}

// known tells whether it is one of the two.
func (d Database) known() bool { return d.String() == sqlite || d.postgres() }

// Postgres is the PostgreSQL of the configuration as the store takes it; its zero
// value stands for SQLite. Kind Invalid: the password's file cannot be read.
func (c *Config) Postgres() (o store.PostgresOptions, err error) {
	if !c.Store.postgres() {
		return o, nil
	}
	o.URL = c.Store.url
	if c.StorePasswordFile == "" {
		return o, nil
	}
	text, err := os.ReadFile(c.StorePasswordFile)
	if err != nil {
		return o, fault.Wrap(err, fault.Invalid, "HX-CONF-020", "store_password_file cannot be read", "check the path and the file's permissions")
	}
	o.Password = secret.New(strings.TrimRight(string(text), "\r\n"))
	return o, nil
}

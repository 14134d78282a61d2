package store

import (
	"strings"
	"time"
)

// dialect is what differs between the databases. The SQL does not: it is one
// text for both. What only PostgreSQL needs stands in it as `/*! … */`, which is
// a comment for SQLite.
type dialect struct {
	begin      string        // begins a transaction that writes
	checkpoint string        // moves the log into the database; empty: the server does it
	clock      string        // asks the database for its time in microseconds; empty: this machine's holds
	patience   time.Duration // with one transaction; 0: a local file answers or fails
	writers    int           // that work side by side; of several one only ends leases
	server     bool          // several nodes share it, and connections to it break
	primary    *primary      // of several servers; set for an open store
}

var (
	sqliteDialect = dialect{begin: "BEGIN IMMEDIATE", checkpoint: "PRAGMA wal_checkpoint(PASSIVE)", writers: 1}
	// The transactions of PostgreSQL are READ COMMITTED: what is read to be changed
	// is locked (`/*! FOR UPDATE */`), so that the nodes wait for each other instead
	// of undoing each other's work.
	postgresDialect = dialect{
		begin:    "BEGIN ISOLATION LEVEL READ COMMITTED",
		clock:    "SELECT CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)",
		patience: 15 * time.Second, writers: 5, server: true,
	}
)

var uncomment = strings.NewReplacer("/*!", "", "*/", "")

// sql returns the query as the writer gives it to the database.
func (d dialect) sql(query string) string {
	if !d.server || !strings.Contains(query, "/*!") {
		return query
	}
	return uncomment.Replace(query)
}

package main

import (
	"bytes"
	"crypto/ed25519"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// logTables are what a superuser can change of the log.
var logTables = []string{"events", "log_head", "log_tiles", "log_checkpoints"}

// ledger is a database with a log of 40 entries, and a superuser's connection to it.
type ledger struct {
	*testing.T
	db     *sql.DB
	args   []string // for hyperctl audit verify
	key    string
	kept   string // a checkpoint of the whole log
	change func(f func(s *store.Store))
}

func newLedger(t *testing.T, dsn string) *ledger {
	t.Helper()
	dir := t.TempDir()
	o := store.Options{Dir: dir, Synchronous: store.Off}
	l := &ledger{T: t, key: filepath.Join(dir, "signing.key.pub"), kept: filepath.Join(dir, "kept")}
	driver, source := "sqlite", filepath.Join(dir, "hypersdk.db")
	l.args = []string{"--database", source}
	if dsn != "" {
		driver, source = "pgx", dsn
		o.Postgres.URL = secret.New(dsn)
		l.args = []string{"--postgres", dsn}
	}
	l.args = append([]string{"audit", "verify", "--key", l.key}, l.args...)
	key, err := receipt.LoadKey(filepath.Join(dir, "signing.key"))
	must(t, err)
	l.change = func(f func(s *store.Store)) {
		t.Helper()
		s, err := store.Open(t.Context(), o)
		must(t, err)
		signer, err := audit.NewSigner("n1", key)
		must(t, err)
		s.SignLog(signer)
		f(s)
		must(t, s.Close())
	}
	l.db, err = sql.Open(driver, source)
	must(t, err)
	t.Cleanup(func() { must(t, l.db.Close()) })
	return l
}

// fill submits and cancels n jobs, and gives their events places, two at a time.
func (l *ledger) fill(s *store.Store, n int) {
	l.Helper()
	svc := service.New(s, service.Deps{Validator: anything{}, Feed: s})
	us := tenant.NewPrincipal(tenant.Default, "key:test", tenant.All()...)
	for range n {
		r, err := svc.Submit(l.Context(), us, []job.Spec{{VMPath: "/DC/vm/web-01"}}, service.SubmitOptions{})
		must(l.T, err)
		_, err = svc.Cancel(l.Context(), us, r.Jobs[0].ID, "")
		must(l.T, err)
		l.place(s)
	}
}

func (l *ledger) place(s *store.Store) {
	l.Helper()
	_, err := s.Sequence(l.Context(), 100)
	must(l.T, err)
}

func (l *ledger) sql(statements ...string) {
	l.Helper()
	for _, q := range statements {
		if _, err := l.db.ExecContext(l.Context(), q); err != nil {
			l.Fatalf("%s: %v", q, err)
		}
	}
}

// save and restore copy the log within the database.
func (l *ledger) save(as string) {
	l.Helper()
	for _, table := range logTables {
		l.sql("CREATE TABLE " + as + table + " AS SELECT * FROM " + table) //nolint:unqueryvet // all columns, whatever they are
	}
}

func (l *ledger) restore(as string) {
	l.Helper()
	for _, table := range logTables {
		l.sql("DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM "+as+table) //nolint:unqueryvet // all columns, whatever they are
	}
}

// verify runs hyperctl and wants an exit code and a text.
func (l *ledger) verify(code int, text string, more ...string) {
	l.Helper()
	var out, errOut bytes.Buffer
	got := run(append(l.args, more...), strings.NewReader(""), &out, &errOut)
	if got != code || !strings.Contains(out.String(), text) {
		l.Errorf("exit code %d, want %d with %q:\n%s%s", got, code, text, &out, &errOut)
	}
}

// checkpoint keeps the last one outside of the database.
func (l *ledger) checkpoint() {
	l.Helper()
	var note string
	must(l.T, l.db.QueryRowContext(l.Context(), "SELECT note FROM log_checkpoints ORDER BY size DESC LIMIT 1").Scan(&note))
	must(l.T, os.WriteFile(l.kept, []byte(note), 0o600))
}

// forge edits an entry and makes its stored hash agree.
func (l *ledger) forge(pos int) {
	l.Helper()
	l.sql(fmt.Sprintf("UPDATE events SET actor = 'nobody' WHERE pos = %d", pos))
	var r audit.Record
	must(l.T, l.db.QueryRowContext(l.Context(), fmt.Sprintf("SELECT pos, seq, job_id, tenant, kind, actor, at, data, COALESCE(facts, '') FROM events WHERE pos = %d", pos)).
		Scan(&r.Pos, &r.Seq, &r.JobID, &r.Tenant, &r.Kind, &r.Actor, &r.At, &r.Data, &r.Facts))
	var tile []byte
	must(l.T, l.db.QueryRowContext(l.Context(), "SELECT data FROM log_tiles WHERE level = 0 AND n = 0").Scan(&tile))
	hash := r.Hash()
	copy(tile[(pos-1)*len(hash):], hash[:])
	_, err := l.db.ExecContext(l.Context(), "UPDATE log_tiles SET data = $1 WHERE level = 0 AND n = 0", tile)
	must(l.T, err)
}

// TestAuditTampering: whatever a superuser of the database does to the log is found
// and located.
func TestAuditTampering(t *testing.T) {
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			dsn := ""
			if database == "postgres" {
				dsn = pgtest.Database(t)
			}
			l := newLedger(t, dsn)
			l.change(func(s *store.Store) { l.fill(s, 15) })
			l.save("old_")
			l.change(func(s *store.Store) { l.fill(s, 5) })
			l.save("whole_")
			l.checkpoint()
			l.verify(0, "verified: 40 entries, 0 removed by retention, 0 hidden, 0 findings", "--checkpoint", l.kept)
			for _, c := range []struct {
				name   string
				tamper func()
				want   string
			}{
				{"edit an actor", func() { l.sql("UPDATE events SET actor = 'nobody' WHERE pos = 17") }, "edited     entry 17 is not what was logged"},
				{"edit data", func() { l.sql("UPDATE events SET data = REPLACE(data, 'pending', 'failed') WHERE pos = 3") }, "edited     entry 3 is"},
				{"edit facts", func() { l.sql("UPDATE events SET facts = NULL WHERE pos = 39") }, "edited     entry 39 is"},
				{"edit and hash again", func() { l.forge(17) }, "edited     an entry between 17 and 18 is not what was logged"},
				{"delete", func() { l.sql("DELETE FROM events WHERE pos = 17") }, "deleted    entry 17 is gone"},
				{"take the place away", func() { l.sql("UPDATE events SET pos = NULL WHERE pos = 17") }, "deleted    entry 17 is gone"},
				{"swap", func() { l.sql("UPDATE events SET pos = 14 - pos WHERE pos IN (5, 9)") }, "reordered  at 5 stands the entry that was logged at 9"},
				{"put one twice", func() { l.sql("UPDATE events SET pos = 5 WHERE pos = 9") }, "reordered  place 5 is taken twice"},
				{"cut the end off", func() {
					l.sql("DELETE FROM events WHERE pos > 30", "UPDATE log_head SET size = 30")
				}, "truncated  the log ends at 30, but hypervisord/n1 signed 40 entries"},
				{"cut the end off, checkpoints too", func() {
					l.sql("DELETE FROM events WHERE pos > 30", "UPDATE log_head SET size = 30", "DELETE FROM log_checkpoints WHERE size > 30")
				}, "went_back  the log has 30 entries, but hypervisord/n1 signed 40"},
				{"restore an old copy", func() { l.restore("old_") }, "went_back  the log has 30 entries, but hypervisord/n1 signed 40"},
				{"damage a signature", func() {
					l.sql("UPDATE log_checkpoints SET note = REPLACE(note, '2026', '2025'), at = at WHERE size = 12", "UPDATE log_checkpoints SET note = REPLACE(note, '— ', '— x') WHERE size = 12")
				}, "unsigned"},
				{"lose the hashes", func() { l.sql("DELETE FROM log_tiles", "UPDATE events SET actor = 'nobody' WHERE pos = 17") }, "edited     an entry between 17 and 18"},
			} {
				c.tamper()
				t.Log(c.name)
				l.verify(7, c.want, "--checkpoint", l.kept)
				l.restore("whole_")
			}
			l.verify(0, "verified: 40 entries", "--checkpoint", l.kept)
			l.anew()
			l.retention()
		})
	}
}

// anew restores an old copy that then goes on: it is longer, and another log.
func (l *ledger) anew() {
	l.Helper()
	l.restore("old_")
	l.change(func(s *store.Store) { l.fill(s, 10) })
	l.verify(7, "went_back  the first 40 entries are not those that hypervisord/n1 signed", "--checkpoint", l.kept)
}

// retention removes entries and leaves a log that is whole.
func (l *ledger) retention() {
	l.Helper()
	l.change(func(s *store.Store) {
		_, err := s.DeleteOldJobs(l.Context(), service.JobRule{Before: time.Now().Add(time.Hour)}, "retention", 3)
		must(l.T, err)
		l.place(s)
	})
	l.verify(0, "6 removed by retention")
	l.sql("DELETE FROM events WHERE pos = 45")
	l.verify(7, "deleted    entry 45 is gone")
}

// TestAuditExport: a file is enough to verify, and what was done to it is found.
func TestAuditExport(t *testing.T) {
	s, ctl := daemon(t)
	dir := t.TempDir()
	key, err := receipt.LoadKey(filepath.Join(dir, "signing.key"))
	must(t, err)
	signEvents(t, s, key)
	l := &ledger{T: t}
	l.fill(s, 4)
	export, kept := filepath.Join(dir, "log"), filepath.Join(dir, "kept")
	pub := filepath.Join(dir, "signing.key.pub")
	want := func(code int, text string, args ...string) string {
		t.Helper()
		got, out, errOut := ctl(append([]string{"audit"}, args...)...)
		if got != code || !strings.Contains(out+errOut, text) {
			t.Fatalf("%v: exit code %d, want %d with %q:\n%s%s", args, got, code, text, out, errOut)
		}
		return out
	}
	must(t, os.WriteFile(kept, []byte(want(0, "hypervisord audit log\n8\n", "checkpoint")), 0o600))
	l.fill(s, 2)
	want(0, "job.submitted", "list", "--event", "job.")
	want(0, "POS", "list", "--resource", "job:none")
	want(0, `"vm":"/DC/vm/web-01"`, "list", "--json", "--event", "job.submitted", "--actor", "key:test")
	want(0, "", "export", "-o", export)
	want(0, "verified: 12 entries", "verify", export, "--key", pub, "--checkpoint", kept)
	want(0, "verified: 12 entries", "verify", "--key", pub)
	want(0, "entry 5 is one of the 12", "prove", "5", "--key", pub)
	want(0, "the log of 12 entries begins with the 8", "prove", "--checkpoint", kept, "--key", pub)
	_, err = receipt.LoadKey(filepath.Join(dir, "other.key"))
	must(t, err)
	want(7, "unsigned", "verify", export, "--key", filepath.Join(dir, "other.key.pub"))

	text, err := os.ReadFile(export)
	must(t, err)
	lines := strings.SplitAfter(strings.TrimSpace(string(text)), "\n")
	swapped := append([]string{lines[1], lines[0]}, lines[2:]...)
	var first audit.Line
	must(t, json.Unmarshal([]byte(lines[2]), &first))
	for what, c := range map[string]struct {
		lines []string
		want  string
	}{
		"edited":    {append(append([]string{}, lines[:2]...), append([]string{strings.Replace(lines[2], "key:test", "key:tess", 1)}, lines[3:]...)...), "entry 3 is not what was logged"},
		"deleted":   {append(append([]string{}, lines[:4]...), lines[5:]...), "entries 5 are not here"},
		"reordered": {swapped, "entry 1 stands behind entry 2"},
		"went_back": {lines[:6], "the log has 6 entries, but hypervisord/n1 signed 8"},
	} {
		must(t, os.WriteFile(export, []byte(strings.Join(c.lines, "")), 0o600))
		if out := want(7, c.want, "verify", export, "--key", pub, "--checkpoint", kept); !strings.Contains(out, what) {
			t.Errorf("%s: %s", what, out)
		}
	}
}

func signEvents(t *testing.T, s *store.Store, key ed25519.PrivateKey) {
	t.Helper()
	signer, err := audit.NewSigner("n1", key)
	must(t, err)
	s.SignLog(signer)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if err := pgtest.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

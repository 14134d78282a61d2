package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// standbyName is what a standby calls itself to its primary.
const standbyName = "standby"

// Standby makes a streaming replica of the server and starts it. With sync the
// primary acknowledges a commit when the replica has it on its disk, too. Stop must
// be called.
func (s *Server) Standby(ctx context.Context, sync bool) (*Server, error) {
	r := &Server{bin: s.bin, as: s.as, of: s}
	var err error
	if r.dir, err = os.MkdirTemp("", "hypersdk-pg-"); err != nil {
		return nil, err
	}
	if err := errors.Join(r.follow(ctx, s), s.streams(ctx, sync)); err != nil {
		return nil, errors.Join(fmt.Errorf("start a standby: %w", err), r.Stop())
	}
	return r, nil
}

// follow copies the primary and starts on the copy.
func (s *Server) follow(ctx context.Context, primary *Server) (err error) {
	if s.as != nil {
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	if s.port, err = freePort(ctx); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	from := fmt.Sprintf("host=127.0.0.1 port=%d user=hypersdk application_name=%s", primary.port, standbyName)
	out, err := s.command(ctx, "pg_basebackup", "--no-sync", "--checkpoint=fast", "--wal-method=stream", "--write-recovery-conf",
		"--dbname", from, "--pgdata", data).CombinedOutput()
	if err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, out)
	}
	s.args = []string{"-D", data, "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	s.args = append(s.args, primary.settings()...)
	return s.Up(ctx)
}

// settings are the arguments that hold for a replica, too.
func (s *Server) settings() (args []string) {
	for i, a := range s.args {
		if a == "-c" {
			args = append(args, a, s.args[i+1])
		}
	}
	return args
}

// streams waits until the standby streams.
func (s *Server) streams(ctx context.Context, sync bool) error {
	want, names := "async", ""
	if sync {
		want, names = "sync", standbyName
	}
	for _, q := range []string{"ALTER SYSTEM SET synchronous_standby_names = '" + names + "'", "SELECT pg_reload_conf()"} {
		if err := s.Exec(ctx, q); err != nil {
			return err
		}
	}
	return s.await(ctx, "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = '"+want+"')")
}

// Lag cuts a standby off from its primary when it has all that was committed so
// far: what is committed from here on does not arrive.
func (s *Server) Lag(ctx context.Context) error {
	var end string
	if err := s.of.row(ctx, "SELECT CAST(pg_current_wal_lsn() AS TEXT)", &end); err != nil {
		return err
	}
	if err := s.of.await(ctx, "SELECT EXISTS (SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= '"+end+"')"); err != nil {
		return err
	}
	for _, q := range []string{"ALTER SYSTEM SET primary_conninfo = ''", "SELECT pg_reload_conf()"} {
		if err := s.Exec(ctx, q); err != nil {
			return err
		}
	}
	return s.await(ctx, "SELECT NOT EXISTS (SELECT 1 FROM pg_stat_wal_receiver)")
}

// Promote makes a standby a primary. It returns when it takes changes.
func (s *Server) Promote(ctx context.Context) error {
	if err := s.Exec(ctx, "SELECT pg_promote(false)"); err != nil {
		return err
	}
	return s.await(ctx, "SELECT NOT pg_is_in_recovery()")
}

// Hang suspends the server with all that serve its clients: it takes connections,
// and answers nothing. It lasts until Down.
func (s *Server) Hang(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	rows, err := conn.Query(ctx, "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND backend_type IN ('client backend', 'walsender')")
	if err != nil {
		return errors.Join(err, conn.Close(ctx))
	}
	pids, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	for _, pid := range append([]int{s.cmd.Process.Pid}, pids...) {
		if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		s.hung = append(s.hung, pid)
	}
	return nil
}

// Exec runs a statement as the superuser.
func (s *Server) Exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// row asks the superuser's question of one column.
func (s *Server) row(ctx context.Context, question string, into any) error {
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return err
	}
	return errors.Join(conn.QueryRow(ctx, question).Scan(into), conn.Close(ctx))
}

// await waits until a question is answered by true.
func (s *Server) await(ctx context.Context, question string) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var yes bool
		if err := s.row(ctx, question, &yes); err != nil || yes {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("never: %s", question), s.words())
		}
	}
}

// Hosts returns the URL of a database with all the servers in it, of which the
// primary is to be taken.
func Hosts(tb testing.TB, database string, servers ...*Server) string {
	tb.Helper()
	u, err := url.Parse(database)
	if err != nil {
		tb.Fatal(err)
	}
	var hosts []string
	for _, s := range servers {
		hosts = append(hosts, net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)))
	}
	u.Host = strings.Join(hosts, ",")
	q := u.Query()
	q.Set("target_session_attrs", "read-write")
	u.RawQuery = q.Encode()
	return u.String()
}

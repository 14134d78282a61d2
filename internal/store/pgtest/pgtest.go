// Package pgtest runs a real PostgreSQL server for tests: Debian's programs in a
// temporary directory, on a loopback port, gone with the test binary.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long the server may take to start or stop on a busy machine.
const patience = 2 * time.Minute

// Server is a PostgreSQL server.
type Server struct {
	bin  string
	dir  string
	port int
	as   *syscall.Credential // nil: this user
	args []string
	cmd  *exec.Cmd
	of   *Server      // the primary, for a standby
	hung []int        // processes that are suspended
	made atomic.Int64 // databases
}

// Start makes a server and starts it with the settings (name=value). Without any,
// nothing is synced: what it holds does not survive the machine. Stop must be
// called. The error names what to install.
func Start(ctx context.Context, settings ...string) (*Server, error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	s := &Server{bin: bin}
	if s.dir, err = os.MkdirTemp("", "hypersdk-pg-"); err != nil {
		return nil, err
	}
	if err := errors.Join(s.make(ctx, settings), s.Up(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL: %w", err), s.Stop())
	}
	return s, nil
}

// programs finds the newest server that Debian has installed, or another one by
// PATH.
func programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	version := func(p string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(p))))
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if p, err := exec.LookPath("postgres"); err == nil {
		return filepath.Dir(p), nil
	}
	return "", errors.New("no PostgreSQL server is installed: run `scripts/deps.sh postgres`, or apt-get install postgresql")
}

// make makes the cluster, as a user that is not root: PostgreSQL refuses that one.
func (s *Server) make(ctx context.Context, settings []string) (err error) {
	if os.Geteuid() == 0 {
		if s.as, err = unprivileged(); err != nil {
			return err
		}
		if err := os.Chown(s.dir, int(s.as.Uid), int(s.as.Gid)); err != nil {
			return err
		}
	}
	if s.port, err = freePort(ctx); err != nil {
		return err
	}
	if len(settings) == 0 {
		settings = []string{"fsync=off", "full_page_writes=off"}
	}
	s.args = []string{"-D", filepath.Join(s.dir, "data"), "-k", s.dir, "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)}
	for _, v := range append([]string{"max_connections=200", "shared_buffers=32MB", "log_min_messages=fatal"}, settings...) {
		s.args = append(s.args, "-c", v)
	}
	initdb := s.command(ctx, "initdb", "--no-sync", "--auth=trust", "--username=hypersdk", "--encoding=UTF8", "--no-locale", "-D", filepath.Join(s.dir, "data"))
	out, err := initdb.CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func unprivileged() (*syscall.Credential, error) {
	var errs []error
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		uid, err1 := strconv.ParseUint(u.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(u.Gid, 10, 32)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, errors.Join(err1, err2)
	}
	return nil, errors.Join(errs...)
}

func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port //nolint:errcheck,forcetypeassert // it is a TCP listener
	return port, l.Close()
}

func (s *Server) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	c := exec.CommandContext(context.WithoutCancel(ctx), filepath.Join(s.bin, name), args...) //nolint:gosec // for tests
	c.Dir = s.dir
	c.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "TZ=UTC"}
	// SIGQUIT ends the server and its children at once if the test dies.
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Pdeathsig: syscall.SIGQUIT}
	return c
}

// Up starts the server and waits until it takes connections.
func (s *Server) Up(ctx context.Context) error {
	log, err := os.OpenFile(filepath.Join(s.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close() //nolint:errcheck // the server has its own handle
	s.cmd = s.command(ctx, "postgres", s.args...)
	s.cmd.Stderr = log
	if err := s.cmd.Start(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, s.url("postgres"))
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.Join(err, s.words())
		}
	}
}

// words are the end of the server's log.
func (s *Server) words() error {
	f, err := os.Open(filepath.Join(s.dir, "log"))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	text, err := io.ReadAll(io.LimitReader(f, 1<<16))
	return errors.Join(fmt.Errorf("its log: %s", text), err)
}

// Down ends the server: in order with SIGINT, at once with SIGQUIT (it recovers
// at the next Up).
func (s *Server) Down(how syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	cmd := s.cmd
	s.cmd = nil
	for _, pid := range s.hung {
		_ = syscall.Kill(pid, syscall.SIGCONT) // it may be gone
	}
	s.hung = nil
	if err := cmd.Process.Signal(how); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return err
	}
	return nil
}

// Stop ends the server and removes what it has.
func (s *Server) Stop() error {
	return errors.Join(s.Down(syscall.SIGQUIT), os.RemoveAll(s.dir))
}

// URL is Create for a test.
func (s *Server) URL(tb testing.TB) string {
	tb.Helper()
	url, err := s.Create(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	return url
}

// Create makes an empty database and returns its URL.
func (s *Server) Create(ctx context.Context) (string, error) {
	name := fmt.Sprintf("test_%d", s.made.Add(1))
	conn, err := pgx.Connect(ctx, s.url("postgres"))
	if err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+name)
	return s.url(name), errors.Join(err, conn.Close(ctx))
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://hypersdk@127.0.0.1:%d/%s?sslmode=disable", s.port, database)
}

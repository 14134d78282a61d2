package auditsink_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		if err := pgtest.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
		os.Exit(code)
	}))
}

// hostile is a value that breaks out of a format that does not escape it.
const hostile = "a\"]\\ b\n<13>1 - - - - - - forged\r\x00\x1b[31m é😀 %s"

// lines are the first n places of a log, signed at the end of each batch of 3.
func lines(t *testing.T, n int) ([]audit.Line, audit.Keys) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	must(t, err)
	signer, err := audit.NewSigner("n1", private)
	must(t, err)
	tiles := map[audit.TileID][]byte{}
	tree := audit.NewTree(func(id audit.TileID) ([]byte, error) {
		if b, ok := tiles[id]; ok {
			return b, nil
		}
		return nil, audit.ErrTile
	})
	var all []audit.Line
	for i := range n {
		r := audit.Record{
			Pos: int64(i + 1), Seq: int64(i + 1), Tenant: "default", Kind: "access.denied", Actor: hostile, At: 1_790_000_000_000_000 + int64(i)*1000,
			Data:  `{"subject":"operation:submit_jobs","attempt":0,"reason":"denied","origin":{"ip":"192.0.2.7","request_id":"r1","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}`,
			Facts: `{"code":"HX-AUTH-001","count":"1"}`,
		}
		if i%2 == 1 {
			r.Kind, r.JobID, r.Actor, r.Data, r.Facts = "job.submitted", "j1", "key:ci", `{"status":"pending","attempt":0}`, `{"vm":"/DC/vm/web-01"}`
		}
		must(t, tree.Append(int64(i), []audit.Hash{r.Hash()}, func(id audit.TileID, data []byte) error { tiles[id] = data; return nil }))
		l := audit.Line{Pos: r.Pos, Hash: r.Hash(), Leaf: string(r.Leaf())}
		if i%3 == 2 || i == n-1 {
			root, err := tree.Root(r.Pos)
			must(t, err)
			c, err := signer.Sign(r.Pos, root, time.Now())
			must(t, err)
			l.Checkpoint = c.Note
		}
		all = append(all, l)
	}
	return all, audit.Keys{public}
}

// batch is a run of lines.
func batch(all []audit.Line) *auditsink.Batch {
	return &auditsink.Batch{Sink: "s", From: all[0].Pos, To: all[len(all)-1].Pos, Lines: all}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

// output is what a program says.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// spawn runs a program until the end of the test, and waits until ready says so.
func spawn(t *testing.T, out *output, ready func() bool, program string, args ...string) {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath(filepath.Join("/usr/sbin", program))
	}
	if err != nil {
		t.Fatalf("%s is missing: run scripts/deps.sh %s, or make .cache/tools/%s and put that directory into PATH", program, program, program)
	}
	cmd, said := exec.Command(path, args...), &output{}
	cmd.Stdout, cmd.Stderr = out, said
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(said)
		}
	})
	eventually(t, program+" listens", ready)
}

var quiet = slog.New(slog.DiscardHandler)

// run runs a carrier until stop is called.
func run(t *testing.T, c *auditsink.Carrier) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		must(t, <-done)
	})
	t.Cleanup(stop)
	return stop
}

func put(t *testing.T, name, format string, args ...any) string {
	t.Helper()
	must(t, os.WriteFile(name, fmt.Appendf(nil, format, args...), 0o600))
	return name
}

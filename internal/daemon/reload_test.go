package daemon

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/telemetry"
)

// shared is a log that is read while it is written.
type shared struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.Write(p)
}

func (s *shared) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.buf.String()
}

// TestReload: a signal takes over what may change, says what may not, and a file
// that is wrong changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "config.yaml")
	base := "listen: 127.0.0.1:0\nstate_dir: " + dir + "\nauth: {disabled: true}\n"
	rewrite := func(text string) {
		if err := os.WriteFile(path, []byte(base+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func() (Config, error) { return Load(path, none, nil) }
	rewrite("min_workers: 1\nmax_workers: 4\n")
	cfg, err := load()
	if err != nil {
		t.Fatal(err)
	}
	var out shared
	log, level, err := telemetry.NewLogger(&out, "info", "text")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	d, err := New(ctx, cfg, log)
	if err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	d.OnReload(signals, level, load)
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	defer func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	reload := func(text, said string) string {
		t.Helper()
		rewrite(text)
		before := len(out.String())
		signals <- syscall.SIGHUP
		for end := time.Now().Add(time.Minute); ; time.Sleep(5 * time.Millisecond) {
			if log := out.String()[before:]; strings.Contains(log, said) {
				return log
			}
			if time.Now().After(end) {
				t.Fatalf("the log does not say %q: %s", said, out.String()[before:])
			}
		}
	}
	reload("min_workers: 2\nmax_workers: 3\nbandwidth_limit: 50MB\nlog: {level: debug}\nprofiles_dir: "+dir+"\n", "was reloaded")
	bounds, scaling := d.engine.dispatcher.Scaling()
	if bounds.Min != 2 || bounds.Max != 3 || scaling.Size != 2 || d.engine.limits.Rate() != 50e6 || level.Level().String() != "DEBUG" {
		t.Errorf("%+v %+v %v %v", bounds, scaling, d.engine.limits.Rate(), level)
	}
	for _, wrong := range []string{"min_workers: 9\nmax_workers: 3\n", "mystery: 1\n", "listen: [", "bandwidth_limit: fast\n"} {
		reload(wrong, "nothing has changed")
	}
	if d.engine.limits.Rate() != 50e6 {
		t.Errorf("a wrong file changed the rate to %v", d.engine.limits.Rate())
	}
	said := reload("min_workers: 2\nmax_workers: 3\nbandwidth_limit: 9MB\nlog: {level: debug, format: text}\nqueue: {aged_every: 3}\nprofiles_dir: "+dir+"\n", "was reloaded")
	for _, key := range []string{"key=log.format", "key=queue.aged_every"} {
		if !strings.Contains(said, key) {
			t.Errorf("%s is not named: %s", key, said)
		}
	}
	if strings.Contains(said, "key=bandwidth_limit") || d.engine.limits.Rate() != 9e6 {
		t.Errorf("the rate is %v: %s", d.engine.limits.Rate(), said)
	}
	said = reload("workers: 5\nbandwidth_limit: 9MB\n", "was reloaded")
	if !strings.Contains(said, "HX-CONF-031") {
		t.Errorf("a pool that scales becomes a fixed one: %s", said)
	}
}

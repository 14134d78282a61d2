package auditsink_test

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/audit"
	"github.com/hypersdk/hypersdk/internal/auditsink"
	"github.com/hypersdk/hypersdk/internal/event"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// openLog opens a store whose log is signed.
func openLog(ctx context.Context, o store.Options) (*store.Store, error) {
	s, err := store.Open(ctx, o)
	if err != nil {
		return nil, err
	}
	signer, err := audit.NewSigner("n1", ed25519.NewKeyFromSeed(make([]byte, 32)))
	s.SignLog(signer)
	return s, err
}

func newLog(t *testing.T, o store.Options) *store.Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir, o.Synchronous = t.TempDir(), store.Off
	}
	s, err := openLog(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { must(t, s.Close()) })
	return s
}

// note appends an entry and gives it its place.
func note(ctx context.Context, s *store.Store) error {
	if err := s.AppendRefusals(ctx, []event.Refusal{{Actor: "x", Operation: "enter", Count: 1, Time: time.Now()}}); err != nil {
		return err
	}
	_, err := s.Sequence(ctx, 100)
	return err
}

func sinkOf(t *testing.T, s *store.Store, name string) (found audit.Sink) {
	t.Helper()
	all, err := s.Sinks(t.Context())
	must(t, err)
	for _, v := range all {
		if v.Name == name {
			found = v
		}
	}
	return found
}

// memory takes batches, unless it is told not to.
type memory struct {
	mu     sync.Mutex
	places []int64
	fails  atomic.Pointer[error]
	closed atomic.Bool
}

func (m *memory) Deliver(ctx context.Context, b *auditsink.Batch) error {
	if err := m.fails.Load(); err != nil {
		if *err == nil { // it hangs
			<-ctx.Done()
			return ctx.Err()
		}
		return *err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range b.Lines {
		m.places = append(m.places, l.Pos)
	}
	return nil
}

func (m *memory) Close() error {
	m.closed.Store(true)
	return nil
}

func (m *memory) has() []int64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.places)
}

// TestADeadSinkHoldsUpNobody: it lags, it tells why, and it gets everything once it
// takes it again; one that hangs is broken off when the node stops, which is no
// failure.
func TestADeadSinkHoldsUpNobody(t *testing.T) {
	t.Parallel()
	s := newLog(t, store.Options{})
	var good, bad, hangs memory
	no, none := errors.New("no"), error(nil)
	bad.fails.Store(&no)
	hangs.fails.Store(&none)
	var took, failed atomic.Int64
	c := auditsink.New(s, []auditsink.Target{{Name: "good", Kind: "file", Sink: &good}, {Name: "bad", Kind: "s3", Sink: &bad}, {Name: "hangs", Kind: "otlp", Sink: &hangs}},
		auditsink.Options{Node: "a", Log: quiet, Hooks: auditsink.Hooks{Delivered: func(_ string, n int) { took.Add(int64(n)) }, Failed: func(string) { failed.Add(1) }}})
	stop := run(t, c)
	for range 20 {
		must(t, note(t.Context(), s))
	}
	eventually(t, "the good one has everything", func() bool { return len(good.has()) == 20 })
	eventually(t, "the bad one has failed", func() bool { return failed.Load() >= 1 })
	if v := sinkOf(t, s, "bad"); v.Pos != 0 || v.Behind != 20 || v.Error == "" || v.Kind != "s3" {
		t.Errorf("%+v", v)
	}
	bad.fails.Store(nil)
	eventually(t, "the bad one has everything", func() bool { return len(bad.has()) >= 20 })
	stop()
	for name, m := range map[string]*memory{"good": &good, "bad": &bad} {
		if got := m.has(); !slices.Equal(got, upTo(20)) || !m.closed.Load() {
			t.Errorf("%s: %v", name, got)
		}
	}
	if v := sinkOf(t, s, "hangs"); v.Pos != 0 || v.Failures != 0 || !hangs.closed.Load() || took.Load() != 40 {
		t.Errorf("%+v, %d were taken", v, took.Load())
	}
}

// TestNodesShareASink: two nodes on one PostgreSQL carry each place once, in order,
// while entries come in; when one stops, the other goes on.
func TestNodesShareASink(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	o := store.Options{}
	o.Postgres.URL = secret.New(url)
	var one memory // the same place, which both reach
	var stops []func()
	var s *store.Store
	for _, node := range []string{"a", "b"} {
		o.Dir = t.TempDir()
		s = newLog(t, o)
		stops = append(stops, run(t, auditsink.New(s, []auditsink.Target{{Name: "one", Kind: "syslog", Sink: &one}}, auditsink.Options{Node: node, Log: quiet})))
	}
	for i := range 30 {
		must(t, note(t.Context(), s))
		if i == 15 {
			stops[0]()
		}
	}
	eventually(t, "everything is there", func() bool { return len(one.has()) >= 30 })
	stops[1]()
	if got := one.has(); !slices.Equal(got, upTo(30)) {
		t.Errorf("%v", got)
	}
}

// childDir makes this program one that logs and carries, to be killed.
const childDir = "AUDITSINK_TEST_DIR"

const (
	childEntries = 250
	childKills   = 6
)

// child appends entries and carries them to a file, until all are there.
func child(dir string) {
	ctx := context.Background()
	s, err := openLog(ctx, store.Options{Dir: dir, Synchronous: store.Normal})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	targets := []auditsink.Target{
		{Name: "f", Kind: "file", Sink: auditsink.NewFile(auditsink.FileOptions{Path: filepath.Join(dir, "sink", "audit.jsonl"), MaxSize: 8000, NoSync: true})},
		{Name: "never", Kind: "file", Sink: auditsink.NewFile(auditsink.FileOptions{Path: "/dev/full"})},
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- auditsink.New(s, targets, auditsink.Options{Node: "a", Log: quiet}).Run(ctx) }()
	for {
		state, err := s.AuditState(ctx)
		if err == nil && state.Size < childEntries {
			err = note(ctx, s)
		}
		all, err2 := s.Sinks(ctx)
		if err := errors.Join(err, err2); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Println(state.Size)
		if state.Size >= childEntries && len(all) > 0 && all[0].Pos == state.Size {
			break
		}
	}
	cancel()
	if err := errors.Join(<-done, s.Close()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// TestKilledAnywhere: a node that is killed again and again while it logs and carries
// leaves nothing out of the file, nothing twice in it, and no line torn.
func TestKilledAnywhere(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for kill := range childKills + 1 {
		cmd, said := exec.Command(os.Args[0]), &output{}
		cmd.Env = append(os.Environ(), childDir+"="+dir)
		cmd.Stderr = said
		out, err := cmd.StdoutPipe()
		must(t, err)
		must(t, cmd.Start())
		steps := bufio.NewScanner(out)
		for n := 0; steps.Scan() && (kill == childKills || n < 3+7*kill); n++ {
		}
		if kill < childKills {
			must(t, cmd.Process.Kill())
		}
		if err := cmd.Wait(); kill == childKills && err != nil {
			t.Fatal(err, said)
		}
	}
	got, files := placesIn(t, filepath.Join(dir, "sink", "audit.jsonl*"))
	if !slices.Equal(got, upTo(childEntries)) || files < 3 {
		t.Errorf("%d files, %d places: %v", files, len(got), got)
	}
}

package vsphere_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const mib = 1 << 20

// starting is held while a simulator is made: govmomi's fills a global table.
var starting sync.Mutex

// start runs a simulated vCenter with these machines.
func start(t *testing.T, o vcsim.Options) *vcsim.Server {
	t.Helper()
	starting.Lock()
	defer starting.Unlock()
	s, err := vcsim.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// config is how to reach the simulator: its certificate is trusted by CA file.
func config(t *testing.T, s *vcsim.Server) vsphere.Config {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, s.CACert(), 0o600); err != nil {
		t.Fatal(err)
	}
	return vsphere.Config{URL: s.URL().String(), Username: s.Username(), Password: secret.New(s.Password()), CAFile: ca}
}

// connect makes a provider that logs out when the test ends.
func connect(t *testing.T, cfg vsphere.Config, o vsphere.Observer) *vsphere.Provider {
	t.Helper()
	log := slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	p, err := vsphere.New(cfg, log, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := p.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ledger keeps the entries that are not settled.
type ledger struct {
	mu   sync.Mutex
	n    int
	open map[string]provider.LedgerEntry
	fail error // of Amend
	hook func(step string)
}

func (l *ledger) at(step string) {
	if l.hook != nil {
		l.hook(step)
	}
}

func (l *ledger) Intend(_ context.Context, kind, ref string) (string, error) {
	l.at("intend " + kind)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == nil {
		l.open = make(map[string]provider.LedgerEntry)
	}
	l.n++
	id := strconv.Itoa(l.n)
	l.open[id] = provider.LedgerEntry{ID: id, Provider: "vsphere", Kind: kind, Ref: ref}
	return id, nil
}

func (l *ledger) Amend(_ context.Context, id, ref string) error {
	l.at("amend")
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok := l.open[id]
	if !ok {
		return fmt.Errorf("amend: no entry %s", id)
	}
	e.Ref = ref
	l.open[id] = e
	return l.fail
}

func (l *ledger) Settle(_ context.Context, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, id)
	return nil
}

func (l *ledger) entries() []provider.LedgerEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []provider.LedgerEntry
	for _, e := range l.open {
		list = append(list, e)
	}
	return list
}

// rig is a provider at a simulator, and one VM in it.
type rig struct {
	t      *testing.T
	server *vcsim.Server
	p      *vsphere.Provider
	ledger *ledger
	path   string
	vm     provider.VM
}

func newRig(t *testing.T, path string, o vcsim.Options, tweak func(*vsphere.Config), observer vsphere.Observer) *rig {
	t.Helper()
	s := start(t, o)
	cfg := config(t, s)
	if tweak != nil {
		tweak(&cfg)
	}
	r := &rig{t: t, server: s, p: connect(t, cfg, observer), ledger: &ledger{}, path: path}
	vm, err := r.p.Find(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	r.vm = vm
	return r
}

func (r *rig) options(transport string) provider.OpenOptions {
	return provider.OpenOptions{JobID: "0199-job", Transport: transport, Ledger: r.ledger}
}

// open freezes the VM; the test closes it.
func (r *rig) open(transport string) provider.Snapshot {
	r.t.Helper()
	z, err := r.p.Open(r.t.Context(), r.vm, r.options(transport))
	if err != nil {
		r.t.Fatal(err)
	}
	return z
}

func (r *rig) disk(z provider.Snapshot, key string) disk.Source {
	r.t.Helper()
	src, err := z.Disk(r.t.Context(), key)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = src.Close() })
	return src
}

// clean fails the test if anything is left on the vCenter or in the ledger.
func (r *rig) clean() {
	r.t.Helper()
	if left := r.server.Leftovers(); len(left) > 0 {
		r.t.Errorf("left behind: %v", left)
	}
	if open := r.ledger.entries(); len(open) > 0 {
		r.t.Errorf("not settled: %v", open)
	}
}

func (r *rig) close(z provider.Snapshot) {
	r.t.Helper()
	if err := z.Close(r.t.Context()); err != nil {
		r.t.Errorf("Close: %v", fault.Detail(err))
	}
}

// errDiffers tells that a block is not what the simulator holds.
var errDiffers = errors.New("content differs")

// compare reads the source from an offset on and compares every byte with
// want. It returns the bytes of blocks, and the source's error or errDiffers.
func compare(ctx context.Context, src disk.Source, want *vcsim.Content, from int64) (int64, error) {
	size := want.Size()
	if src.Info().Size != size {
		return 0, fmt.Errorf("%w: size %d, want %d", errDiffers, src.Info().Size, size)
	}
	next, moved := from, int64(0)
	for b, err := range src.Blocks(ctx, from) {
		if err != nil {
			return moved, err
		}
		if b.Off < next || b.Off%disk.GrainSize != 0 || b.Off+b.Len > size {
			b.Release()
			return moved, fmt.Errorf("%w: block %d+%d after %d", errDiffers, b.Off, b.Len, next)
		}
		moved += int64(len(b.Data))
		err := errors.Join(holds(want, next, make([]byte, b.Off-next)), same(want, &b))
		next = b.Off + b.Len
		b.Release()
		if err != nil {
			return moved, err
		}
	}
	return moved, holds(want, next, make([]byte, size-next))
}

func same(want *vcsim.Content, b *disk.Block) error {
	switch b.Enc {
	case disk.Zero:
		return holds(want, b.Off, make([]byte, b.Len))
	case disk.Raw:
		return holds(want, b.Off, b.Data)
	case disk.Zlib:
		z, err := zlib.NewReader(bytes.NewReader(b.Data))
		if err != nil {
			return err
		}
		data, err := io.ReadAll(z)
		if err != nil {
			return err
		}
		if int64(len(data)) != b.Len {
			return fmt.Errorf("%w: %d bytes at %d", errDiffers, len(data), b.Off)
		}
		return holds(want, b.Off, data)
	}
	return fmt.Errorf("%w: encoding %d", errDiffers, b.Enc)
}

func holds(want *vcsim.Content, off int64, have []byte) error {
	if len(have) == 0 {
		return nil
	}
	data := make([]byte, len(have))
	if _, err := want.ReadAt(data, off); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if !bytes.Equal(data, have) {
		return fmt.Errorf("%w: at %d", errDiffers, off)
	}
	return nil
}

// data fills the first part of a disk with noise, grain by grain, leaving holes.
func data(seed uint64) func(w io.WriterAt, size int64) (string, error) {
	return func(w io.WriterAt, size int64) (string, error) {
		noise := rand.NewChaCha8([32]byte{byte(seed)})
		buf := make([]byte, disk.GrainSize)
		for off := int64(0); off < size; off += disk.GrainSize {
			if off/disk.GrainSize%7 > 3 && off+disk.GrainSize < size {
				continue
			}
			p := buf[:min(disk.GrainSize, size-off)]
			_, _ = noise.Read(p)
			clear(p[len(p)/3:])
			if _, err := w.WriteAt(p, off); err != nil {
				return "", err
			}
		}
		return "", nil
	}
}

// drain reads a source until its error or end.
func drain(ctx context.Context, src disk.Source) error {
	for b, err := range src.Blocks(ctx, 0) {
		if err != nil {
			return err
		}
		b.Release()
	}
	return nil
}

func wantKind(t *testing.T, err error, kinds ...fault.Kind) {
	t.Helper()
	if err == nil || !slices.Contains(kinds, fault.KindOf(err)) {
		t.Fatalf("error of kind %v, want %v: %s", fault.KindOf(err), kinds, fault.Detail(err))
	}
	var e *fault.Error
	if errors.As(err, &e) && (e.Msg == "" || e.Code == "") {
		t.Errorf("the error explains nothing: %+v", e)
	}
}

// sparse writes two grains far from each other.
func sparse(w io.WriterAt, size int64) (string, error) {
	noise := rand.NewChaCha8([32]byte{7})
	buf := make([]byte, 100_000)
	for _, off := range []int64{0, size / 2} {
		_, _ = noise.Read(buf)
		if _, err := w.WriteAt(buf, off); err != nil {
			return "", err
		}
	}
	return "", nil
}

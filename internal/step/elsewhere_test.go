package step_test

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/sink"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
	"github.com/hypersdk/hypersdk/internal/step"
)

// machineDir is the output root of one machine.
type machineDir string

func (m machineDir) Check(string) error                  { return nil }
func (m machineDir) Sink(path string) (sink.Sink, error) { return dir.New(string(m), path) }

// memory is what the store holds of one job.
type memory struct {
	mu     sync.Mutex
	token  []byte
	marks  map[string]dispatch.Checkpoint
	ledger map[string]provider.LedgerEntry
	saved  func(*memory) // called with a copy after each save
}

func (m *memory) copy() *memory {
	c := &memory{token: slices.Clone(m.token), marks: maps.Clone(m.marks), ledger: maps.Clone(m.ledger)}
	for k, v := range c.marks {
		v.Records = slices.Clone(v.Records)
		c.marks[k] = v
	}
	return c
}

func (m *memory) do(f func()) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f()
	if m.saved != nil {
		m.saved(m.copy())
	}
	return nil
}

func (m *memory) Load(_ context.Context, d string) (c dispatch.Checkpoint, found bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c, found = m.marks[d]
	return c, found, nil
}

func (m *memory) Append(_ context.Context, d string, off int64, digest, record []byte) error {
	return m.do(func() {
		c := m.marks[d]
		c.Offset, c.Digest = off, slices.Clone(digest)
		if record != nil {
			c.Records = append(c.Records, slices.Clone(record))
		}
		m.marks[d] = c
	})
}

func (m *memory) Reset(_ context.Context, d string) error { return m.do(func() { delete(m.marks, d) }) }

func (m *memory) Intend(_ context.Context, kind, ref string) (string, error) {
	id := strconv.Itoa(int(rand.Int32()))
	return id, m.do(func() {
		m.ledger[id] = provider.LedgerEntry{ID: id, JobID: "job", Provider: "vsphere", Kind: kind, Ref: ref}
	})
}

func (m *memory) Amend(_ context.Context, id, ref string) error {
	return m.do(func() {
		e := m.ledger[id]
		e.Ref = ref
		m.ledger[id] = e
	})
}

func (m *memory) Settle(_ context.Context, id string) error {
	return m.do(func() { delete(m.ledger, id) })
}

func (m *memory) Open(context.Context) ([]provider.LedgerEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Collect(maps.Values(m.ledger)), nil
}

func (m *memory) task(format string) dispatch.Task {
	spec := job.Spec{VMPath: "/DC/vm/dense", Format: format, Transport: "range", OutputPath: "."}.WithDefaults()
	return dispatch.Task{
		Job: job.Job{ID: "job", Spec: spec}, Token: slices.Clone(m.token), Ledger: m, Checkpoints: m,
		SaveToken: func(_ context.Context, token []byte) error {
			return m.do(func() { m.token = slices.Clone(token) })
		},
		Progress: func(job.Progress) {},
	}
}

// TestGoesOnElsewhere: from every state that a run leaves behind, another machine
// that does not have the staging area, or has an old one, makes the whole output.
func TestGoesOnElsewhere(t *testing.T) {
	size := int64(disk.CheckpointBytes + 8<<20)
	sim, err := vcsim.Start(t.Context(), vcsim.Options{VMs: []vcsim.VM{{Path: "dense", On: true, Disks: []vcsim.Disk{{Size: size, Fill: noise}}}}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	}()
	p, err := vsphere.New(vsphere.Config{URL: sim.URL().String(), Username: sim.Username(), Password: secret.New(sim.Password()), Thumbprint: sim.Thumbprint()},
		slog.New(slog.DiscardHandler), vsphere.Observer{})
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	on := func(root string) *step.Export {
		return &step.Export{Providers: map[string]provider.Provider{"vsphere": p}, Outputs: machineDir(root), Key: key, Tool: "test"}
	}
	formats := []string{"raw", "ova"}
	if testing.Short() {
		formats = formats[:1] // the race detector makes hashing twenty times slower
	}
	for _, format := range formats {
		t.Run(format, func(t *testing.T) {
			var states []*memory
			m := &memory{marks: map[string]dispatch.Checkpoint{}, ledger: map[string]provider.LedgerEntry{}}
			m.saved = func(c *memory) { states = append(states, c) }
			first := t.TempDir()
			if _, err := on(first).Run(t.Context(), m.task(format)); err != nil {
				t.Fatal(fault.Detail(err))
			}
			want := roots(t, first)
			states = distinct(states)
			if testing.Short() {
				copying := slices.IndexFunc(states, func(s *memory) bool { return len(s.marks) > 0 })
				states = []*memory{states[copying], states[len(states)-1]}
			}
			for i := range states {
				here := t.TempDir()
				if i%2 == 1 { // as if the job had been here before
					old := filepath.Join(here, ".dense.job.0123456789ab.partial")
					if err := os.Mkdir(old, 0o700); err != nil {
						t.Fatal(err)
					}
				}
				s := states[i].copy()
				if _, err := on(here).Run(t.Context(), s.task(format)); err != nil {
					t.Fatalf("from state %d (%s): %s", i, s.token, fault.Detail(err))
				}
				if got := roots(t, here); got != want {
					t.Fatalf("from state %d (%s): roots %s, want %s", i, s.token, got, want)
				}
			}
			if left := sim.Leftovers(); len(left) > 0 {
				t.Errorf("left on vCenter: %v", left)
			}
		})
	}
}

// distinct keeps the states after which a run goes on differently.
func distinct(states []*memory) (kept []*memory) {
	last := ""
	for i := range states {
		if now := fmt.Sprint(string(states[i].token), len(states[i].marks)); now != last {
			last = now
			kept = append(kept, states[i].copy())
		}
	}
	return kept
}

// roots verifies what is published in a directory, and that there is nothing else.
func roots(t *testing.T, root string) (all string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".partial") {
			t.Errorf("left: %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := artifact.Verify(t.Context(), filepath.Join(root, "dense"), nil, nil)
	if err != nil || !rep.OK() {
		t.Fatalf("%+v, %v", rep, err)
	}
	for _, d := range rep.Receipt.Disks {
		all += d.Root.String()
	}
	return all
}

func noise(w io.WriterAt, size int64) (string, error) {
	r := rand.NewChaCha8([32]byte{7})
	buf := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(buf)) {
		_, _ = r.Read(buf)
		if _, err := w.WriteAt(buf[:min(int64(len(buf)), size-off)], off); err != nil {
			return "", err
		}
	}
	return "", nil
}

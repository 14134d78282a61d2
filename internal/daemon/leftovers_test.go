package daemon

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/store/pgtest"
)

// partials lists the staging areas below a directory.
func partials(t *testing.T, root string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if strings.HasSuffix(path, ".partial") {
			found = append(found, path)
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // one goes while it is looked at
		t.Fatal(err)
	}
	return found
}

// until polls for two minutes.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(2 * time.Minute); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestSweepAfterTakeOver: a node goes away in the middle of a plain job and of a
// workflow, another one takes them over. Back again, the first removes what it had
// staged of them while they run, and after they have ended; what runs keeps what
// it writes to, and what is nobody's stays.
func TestSweepAfterTakeOver(t *testing.T) {
	db, err := pgtest.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Stop(); err != nil {
			t.Error(err)
		}
	})
	url := secret.New(db.URL(t))
	shared := func(c *EngineConfig) { c.Postgres.URL, c.Sweep, c.Workers = url, true, 4 }
	a := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", 8<<20), noisy("b", 8<<20)}}, shared)
	id := a.submit(job.Spec{VMPath: "/DC/vm/a", Format: "raw", OutputPath: "plain", BandwidthLimit: "20KB"})
	flow := a.submit(job.Spec{BandwidthLimit: "20KB", Jobs: []job.Step{{ID: "e", Type: "export", VMPath: "/DC/vm/b", Format: "raw", OutputPath: "flow"}}})
	until(t, "both are staged", func() bool { return len(partials(t, a.root)) == 2 })
	until(t, "both have said where", func() bool { return a.marked(id, "") && a.marked(flow, "e") })
	ours := partials(t, a.root)
	foreign := filepath.Join(a.root, ".other.0199aaaa-0000-7000-8000-000000000001.0123456789ab.partial")
	work := filepath.Join(a.state, "work", flow+".e")
	if err := errors.Join(os.Mkdir(foreign, 0o700), os.MkdirAll(work, 0o700)); err != nil {
		t.Fatal(err)
	}
	a.leftovers.sweep(t.Context())
	if got := partials(t, a.root); len(got) != 3 {
		t.Fatalf("it swept what it writes to: %v", got)
	}
	a.halt()

	b := start(t, a.sim, t.TempDir(), t.TempDir(), shared)
	until(t, "the other node goes on with both", func() bool { return len(partials(t, b.root)) == 2 })
	again := start(t, a.sim, a.root, a.state, shared)
	until(t, "what the first had staged is gone", func() bool {
		again.leftovers.sweep(t.Context()) // the other node may not have said yet where it writes to
		return slices.Equal(partials(t, a.root), []string{foreign})
	})
	until(t, "the working directory is gone", func() bool { _, err := os.Stat(work); return err != nil })
	b.leftovers.sweep(t.Context())
	if got := partials(t, b.root); len(got) != 2 {
		t.Errorf("the other node swept what it writes to: %v", got)
	}

	// A job that has ended needs nothing of what is left of it. A node sweeps as it starts.
	again.halt()
	if err := errors.Join(os.Mkdir(ours[0], 0o700), os.Mkdir(ours[1], 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, ended := range []string{id, flow} {
		if _, err := b.Service.SetBandwidth(t.Context(), b.user, ended, "unlimited", nil); err != nil {
			t.Fatal(err)
		}
		if j := b.wait(ended); j.State != job.Completed {
			t.Fatalf("%s: %+v", j.State, j.Error)
		}
	}
	start(t, a.sim, a.root, a.state, shared)
	until(t, "what is left of jobs that have ended is gone", func() bool { return slices.Equal(partials(t, a.root), []string{foreign}) })
	b.clean()
}

// marked tells whether the run has said which area it writes to.
func (b *bench) marked(id, step string) bool {
	h, _, err := b.store.Holder(b.t.Context(), id, step)
	if err != nil {
		b.t.Fatal(err)
	}
	return h.Leased && strings.Contains(string(h.Token), `"stage":"`) && !strings.Contains(string(h.Token), `"stage":""`)
}

//go:build e2e

package e2e

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
	"github.com/hypersdk/hypersdk/internal/store"
	"github.com/hypersdk/hypersdk/internal/store/storetest"
)

// A check that cannot fail proves nothing. The tests below take one safeguard
// away each, and assert that the check then fails.

// TestChaosControlSync: what the store acknowledged survives a power cut, and
// would not without its fsync.
func TestChaosControlSync(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *volume) {
		for _, mode := range []store.Sync{store.Full, store.Normal, store.Off} {
			acked, found := ackedAndFound(t, v, mode)
			t.Logf("synchronous=%s: %d acknowledged, %d lost", mode, acked, acked-found)
			if mode == store.Full && found != acked {
				t.Errorf("%d of %d acknowledged jobs are lost", acked-found, acked)
			}
			if mode != store.Full && found == acked {
				t.Errorf("synchronous=%s lost nothing: the power cut does not bite", mode)
			}
		}
	})
}

// ackedAndFound cuts the power below a store that takes jobs, and tells how many
// it had acknowledged and how many of these are there afterwards.
func ackedAndFound(t *testing.T, v *volume, mode store.Sync) (acked, found int) {
	t.Helper()
	state := v.path("state-%s", mode)
	ids := map[string]bool{}
	cmd, out := startChild(t, state, mode)
	for len(ids) < 400 && out.Scan() {
		ids[out.Text()] = true
	}
	v.cut()
	_ = cmd.Process.Kill() // it may have seen the cut
	_ = cmd.Wait()
	v.restore()
	if _, err := os.Stat(filepath.Join(state, "hypersdk.db")); err != nil {
		return len(ids), 0
	}
	return len(ids), countJobs(t, state, ids)
}

func countJobs(t *testing.T, state string, ids map[string]bool) (found int) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: state})
	if err != nil {
		t.Logf("the store cannot be opened: %v", err)
		return 0
	}
	scope, err := submitter()
	if err != nil {
		t.Fatal(err)
	}
	for before := int64(0); ; {
		jobs, err := s.Reader(scope).Jobs(t.Context(), service.Query{Limit: 1000}, before)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if before = j.Seq; ids[j.ID] {
				found++
			}
		}
		if len(jobs) < 1000 {
			break
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return found
}

// TestChaosControlPublish: a published output survives a power cut, and would
// not without the sync of the directory.
func TestChaosControlPublish(t *testing.T) {
	onVolumes(t, func(t *testing.T, v *volume) {
		publish(t, v.dir, "published")
		v.cut()
		v.restore()
		if err := whole(v.path("published")); err != nil {
			t.Errorf("what was published is lost: %v", err)
		}
		careless(t, v.dir, "careless")
		v.cut()
		v.restore()
		if err := whole(v.path("careless")); err == nil {
			t.Error("an output without a sync of its directory survived: the power cut does not bite")
		} else {
			t.Logf("without the sync of the directory: %v", err)
		}
	})
}

var content = []byte(strings.Repeat("content ", 100_000))

// publish makes an output as an export does.
func publish(t *testing.T, root, name string) {
	t.Helper()
	d, err := dir.New(root, ".")
	if err != nil {
		t.Fatal(err)
	}
	s, err := d.Stage(t.Context(), name, "job")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := receipt.Sign(&receipt.Receipt{Version: receipt.Version, JobID: "job"}, key)
	if err != nil {
		t.Fatal(err)
	}
	for file, p := range map[string][]byte{"disk": content, receipt.FileName: text} {
		o, err := s.Create(file, false)
		if err != nil {
			t.Fatal(err)
		}
		_, err = o.WriteAt(p, 0)
		if err := errors.Join(err, o.Close()); err != nil {
			t.Fatal(err)
		}
	}
	_, err = s.Publish(t.Context())
	if err := errors.Join(err, s.Close()); err != nil {
		t.Fatal(err)
	}
}

// careless does the same, with synced files, but no synced directory.
func careless(t *testing.T, root, name string) {
	t.Helper()
	temp := filepath.Join(root, "."+name+".partial")
	if err := os.Mkdir(temp, 0o700); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(temp, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write(content)
	if err := errors.Join(err, f.Sync(), f.Close(), os.Rename(temp, filepath.Join(root, name))); err != nil {
		t.Fatal(err)
	}
}

// whole tells whether an output is there with its content.
func whole(path string) error {
	got, err := os.ReadFile(filepath.Join(path, "disk"))
	if err == nil && string(got) != string(content) {
		err = fmt.Errorf("%s holds %d other bytes", path, len(got))
	}
	return err
}

// TestChaosControlEpoch: the conformance suite of the store tells a store that
// lets a stale worker write.
func TestChaosControlEpoch(t *testing.T) {
	if os.Getenv(epochless) != "" {
		storetest.Run(t, func(t *testing.T, now func() time.Time) storetest.Store {
			return &unfenced{Store: openStore(t, now)}
		})
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run", "^TestChaosControlEpoch$/^a_stale_lease_writes_nothing$", "-test.v")
	cmd.Env = append(os.Environ(), epochless+"=1")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--- FAIL: TestChaosControlEpoch/a_stale_lease_writes_nothing") {
		t.Errorf("a store without a check of the epoch passes its suite: %v\n%s", err, out)
	}
}

const epochless = "HYPERSDK_E2E_EPOCHLESS"

func openStore(t *testing.T, now func() time.Time) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Now: now})
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

// unfenced is a store that takes every lease for the newest one.
type unfenced struct {
	*store.Store
	newest sync.Map // of the leases, by job
}

// Claim implements dispatch.Queue.
func (u *unfenced) Claim(ctx context.Context, node string, lease time.Duration, n int) ([]dispatch.Lease, error) {
	leases, err := u.Store.Claim(ctx, node, lease, n)
	for _, l := range leases {
		u.newest.Store(l.Job.ID, l)
	}
	return leases, err
}

// freshened gives the epoch and the node that the fence asks for.
func (u *unfenced) freshened(l dispatch.Lease) dispatch.Lease {
	if newest, ok := u.newest.Load(l.Job.ID); ok {
		l, _ = newest.(dispatch.Lease)
	}
	return l
}

// Renew implements dispatch.Queue.
func (u *unfenced) Renew(ctx context.Context, l dispatch.Lease, lease time.Duration, p *job.Progress) (bool, error) {
	return u.Store.Renew(ctx, u.freshened(l), lease, p)
}

// Apply implements dispatch.Queue.
func (u *unfenced) Apply(ctx context.Context, l dispatch.Lease, c job.Change) (job.Job, error) {
	return u.Store.Apply(ctx, u.freshened(l), c)
}

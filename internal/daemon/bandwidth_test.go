package daemon

import (
	"database/sql"
	"errors"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
)

// noise fills a disk with what cannot be compressed: each byte of it has to come
// over the wire.
func noise(w io.WriterAt, size int64) (string, error) {
	data := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(data)
	_, err := w.WriteAt(data, 0)
	return "", err
}

func noisy(name string, size int64) vcsim.VM {
	return vcsim.VM{Path: name, Disks: []vcsim.Disk{{Size: size, Fill: noise}}}
}

// slower fails if bytes came faster than the limit allows. That the limit is used
// in full is shown in virtual time, in package limit.
func slower(t *testing.T, took time.Duration, bytes int64, rate float64) {
	t.Helper()
	if least := float64(bytes) / rate * 0.95; took.Seconds() < least {
		t.Errorf("%d bytes came in %s: at %.0f bytes per second they take at least %.2fs", bytes, took, rate, least)
	}
}

func took(j job.Job) time.Duration { return j.FinishedAt.Sub(*j.StartedAt) }

// TestBandwidthOfJob: the rate of both transports is that of the limit.
func TestBandwidthOfJob(t *testing.T) {
	const size = 8 << 20
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", size)}})
	for _, transport := range []string{"range", "nfc"} {
		j := b.export(job.Spec{VMPath: "/DC/vm/a", Format: "raw", OutputPath: transport, Transport: transport, BandwidthLimit: "4MB"})
		slower(t, took(j), size, 4e6)
		if j.Progress == nil || j.Progress.BytesTransfer == 0 || j.Progress.BytesTransfer > 2*size {
			t.Errorf("%s: %+v", transport, j.Progress)
		}
	}
}

// tenantLimit sets the limit of the default tenant behind the daemon's back.
func (b *bench) tenantLimit(bytes int64) {
	b.t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(b.state, "hypersdk.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(b.t.Context(), `UPDATE tenants SET max_bandwidth_bytes = $1 WHERE id = 'default'`, bytes); err != nil {
		b.t.Fatal(err)
	}
}

// TestBandwidthOfTenant: two jobs share the limit of their tenant, and say so.
func TestBandwidthOfTenant(t *testing.T) {
	const size = 6 << 20
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", size), noisy("b", size)}})
	b.tenantLimit(4e6)
	begin := time.Now()
	ids := []string{
		b.submit(job.Spec{VMPath: "/DC/vm/a", Format: "raw", BandwidthLimit: "50MB"}),
		b.submit(job.Spec{VMPath: "/DC/vm/b", Format: "raw", Transport: "nfc"}),
	}
	b.limitedBy(ids[0], "bandwidth (tenant)")
	for _, id := range ids {
		if j := b.wait(id); j.State != job.Completed {
			t.Fatalf("%s: %+v", j.State, j.Error)
		}
	}
	slower(t, time.Since(begin), 2*size, 4e6)
}

// TestBandwidthOfTenantOverNodes: jobs on two nodes share the limit of their tenant,
// and say which part is theirs. That the limit is used in full is shown in virtual
// time, in package store.
func TestBandwidthOfTenantOverNodes(t *testing.T) {
	t.Parallel()
	const size = 12 << 20
	url := newDatabase(t).URL(t)
	var nodes []*bench
	for range 2 {
		nodes = append(nodes, newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", size), noisy("b", size)}}, func(c *EngineConfig) {
			c.Workers, c.Postgres.URL = 1, secret.New(url)
		}))
	}
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.Exec(t.Context(), `UPDATE tenants SET max_bandwidth_bytes = 4000000 WHERE id = 'default'`)
	if err := errors.Join(err, conn.Close(t.Context())); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	a, b := nodes[0].submit(job.Spec{VMPath: "/DC/vm/a", Format: "raw"}), nodes[0].submit(job.Spec{VMPath: "/DC/vm/b", Format: "raw"})
	nodes[0].limitedBy(a, "bandwidth (tenant), 50 % of 4MB/s on this node")
	nodes[0].limitedBy(b, "bandwidth (tenant), 50 % of 4MB/s on this node")
	var ran []string
	for _, id := range []string{a, b} {
		j := nodes[1].wait(id)
		if j.State != job.Completed {
			t.Fatalf("%s: %+v", j.State, j.Error)
		}
		ran = append(ran, j.Node)
	}
	slower(t, time.Since(begin), 2*size, 4e6)
	if ran[0] == ran[1] {
		t.Error("both ran on one node: the test shows nothing")
	}
}

// limitedBy waits until the job's progress names what limits it.
func (b *bench) limitedBy(id, want string) {
	b.t.Helper()
	var last string
	updates, err := b.Service.Events(b.t.Context(), b.user, id, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	for u, err := range updates {
		if err != nil {
			b.t.Fatal(err)
		}
		if u.Progress == nil {
			continue
		}
		if last = u.Progress.LimitedBy; last == want {
			return
		}
	}
	b.t.Fatalf("the job has ended and was never limited by %s, at last by %q", want, last)
}

// TestBandwidthChangesWhileRunning: a job that would take half an hour is let go.
func TestBandwidthChangesWhileRunning(t *testing.T) {
	const size = 32 << 20
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", size)}})
	id := b.submit(job.Spec{VMPath: "/DC/vm/a", Format: "raw", BandwidthLimit: "20KB", Labels: map[string]string{"a": "b"}})
	b.limitedBy(id, "bandwidth (job)")
	if _, err := b.Service.SetBandwidth(t.Context(), b.user, id, "unlimited", nil); err != nil {
		t.Fatal(err)
	}
	j := b.wait(id) // for five minutes at most
	if j.State != job.Completed || j.Spec.BandwidthLimit != "unlimited" || j.Spec.Labels["a"] != "b" {
		t.Errorf("%s: %+v, %+v", j.State, j.Spec, j.Error)
	}
	b.clean()
}

// TestCancelOfSlowJob: whoever waits for a limit is still reached by a cancel.
func TestCancelOfSlowJob(t *testing.T) {
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", 8<<20)}})
	for _, transport := range []string{"range", "nfc"} {
		id := b.submit(job.Spec{VMPath: "/DC/vm/a", Format: "raw", Transport: transport, BandwidthLimit: "1KB"})
		b.limitedBy(id, "bandwidth (job)")
		if _, err := b.Service.Cancel(t.Context(), b.user, id, "too slow"); err != nil {
			t.Fatal(err)
		}
		if j := b.wait(id); j.State != job.Cancelled {
			t.Errorf("%s: %s", transport, j.State)
		}
		b.clean()
	}
}

// TestBandwidthOfNode: the configuration has a limit, windows, and words for what
// is wrong with them.
func TestBandwidthOfNode(t *testing.T) {
	load := func(env ...string) (Config, error) {
		return Load(write(t, "workers: 1\n"), none, env)
	}
	file := write(t, "bandwidth_limit: 1000000\nbandwidth_windows: [\"08:00-09:00 = 50MB\"]\n")
	fromFile, err := Load(file, none, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := fromFile.bandwidth(); err != nil || p.Rate != 1e6 || len(p.Windows) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	c, err := load("HYPERVISORD_BANDWIDTH_LIMIT=100MB", "HYPERVISORD_BANDWIDTH_WINDOWS=00:00-24:00 UTC = 5MB")
	if err != nil {
		t.Fatal(err)
	}
	if p, err := c.bandwidth(); err != nil || p.Rate != 100e6 || p.At(time.Now()) != 5e6 {
		t.Errorf("%+v, %v", p, err)
	}
	for env, says := range map[string]string{
		"HYPERVISORD_BANDWIDTH_LIMIT=50Mbit": "no rate", "HYPERVISORD_BANDWIDTH_WINDOWS=at night": "no bandwidth window",
	} {
		if _, err := load(env); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", env, err)
		}
	}
}

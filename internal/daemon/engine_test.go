package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/secret"
	"github.com/hypersdk/hypersdk/internal/service"
	"github.com/hypersdk/hypersdk/internal/tenant"
)

// bench is an engine on a simulated vCenter.
type bench struct {
	*Engine
	t     *testing.T
	sim   *vcsim.Server
	root  string // of the outputs
	state string // directory
	user  tenant.Principal
	halt  func() // ends the engine; idempotent
}

func newBench(t *testing.T, o vcsim.Options, change ...func(*EngineConfig)) *bench {
	t.Helper()
	sim, err := vcsim.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return start(t, sim, t.TempDir(), t.TempDir(), change...)
}

// start runs an engine on the directories of its outputs and its state.
func start(t *testing.T, sim *vcsim.Server, root, state string, change ...func(*EngineConfig)) *bench {
	t.Helper()
	b := &bench{t: t, sim: sim, root: root, state: state, user: tenant.NewPrincipal(tenant.Default, "test", tenant.All()...)}
	log := slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	p, err := vsphere.New(vsphere.Config{URL: sim.URL().String(), Username: sim.Username(), Password: secret.New(sim.Password()), Thumbprint: sim.Thumbprint()}, log, vsphere.Observer{})
	if err != nil {
		t.Fatal(err)
	}
	c := EngineConfig{StateDir: b.state, Roots: []string{b.root}, Workers: 2, Profiles: []string{"../../examples/profiles"},
		Providers: map[string]provider.Provider{"vsphere": p}, Log: log}
	for _, f := range change {
		f(&c)
	}
	b.Engine, err = NewEngine(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	b.halt = sync.OnceFunc(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := b.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.halt)
	return b
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

func (b *bench) submit(s job.Spec) string {
	b.t.Helper()
	r, err := b.Service.Submit(b.t.Context(), b.user, []job.Spec{s}, service.SubmitOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	return r.Jobs[0].ID
}

// wait follows the job's stream to its end.
func (b *bench) wait(id string) job.Job {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 5*time.Minute)
	defer cancel()
	updates, err := b.Service.Events(ctx, b.user, id, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, err := range updates {
		if err != nil {
			b.t.Fatal(err)
		}
	}
	j, err := b.Service.Get(ctx, b.user, id)
	if err != nil {
		b.t.Fatal(err)
	}
	return j
}

func (b *bench) export(s job.Spec) job.Job {
	b.t.Helper()
	j := b.wait(b.submit(s))
	if j.State != job.Completed {
		b.t.Fatalf("%s ended %s: %+v", s.VMPath, j.State, j.Error)
	}
	b.clean()
	return j
}

// clean asserts that nothing is left on the simulated vCenter and in the output.
func (b *bench) clean() {
	b.t.Helper()
	if left := b.sim.Leftovers(); len(left) > 0 {
		b.t.Errorf("left on vCenter: %v", left)
	}
	entries, err := os.ReadDir(b.root)
	if err != nil {
		b.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".partial") {
			b.t.Errorf("left in the output: %s", e.Name())
		}
	}
}

// source writes the simulator's disk to a raw file.
func (b *bench) source(vm string, key int32) string {
	b.t.Helper()
	c, err := b.sim.Disk(vm, key)
	if err != nil {
		b.t.Fatal(err)
	}
	path := filepath.Join(b.t.TempDir(), fmt.Sprintf("source-%d.raw", key))
	if err := c.WriteFile(path); err != nil {
		b.t.Fatal(err)
	}
	return path
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func TestEveryFormatIsIdenticalToTheSource(t *testing.T) {
	b := newBench(t, vcsim.Options{})
	off, on := false, true
	sources := []string{b.source("/DC/vm/web-01", 2000), b.source("/DC/vm/web-01", 2001)}
	var roots []string
	for _, c := range []struct {
		name   string
		spec   job.Spec
		format string // as qemu-img calls it
	}{
		{"raw", job.Spec{Format: "raw"}, "raw"},
		{"qcow2 plain", job.Spec{Format: "qcow2", Compress: &off}, "qcow2"},
		{"qcow2 zlib", job.Spec{Format: "qcow2", Compress: &on}, "qcow2"},
		{"qcow2 zstd", job.Spec{Format: "qcow2", Compression: "zstd"}, "qcow2"},
		{"vmdk", job.Spec{Format: "vmdk"}, "vmdk"},
		{"ovf", job.Spec{Format: "ovf"}, "vmdk"},
		{"ova", job.Spec{Format: "ova"}, "vmdk"},
	} {
		for _, transport := range []string{"range", "nfc"} {
			if name := c.name + transport; testing.Short() && name != "qcow2 zlibrange" && name != "ovanfc" {
				continue // the race detector makes hashing twenty times slower
			}
			t.Run(c.name+" over "+transport, func(t *testing.T) {
				spec := c.spec
				spec.VMPath, spec.Transport, spec.OutputPath = "/DC/vm/web-01", transport, strings.ReplaceAll(c.name, " ", "-")+"-"+transport
				j := b.export(spec)
				r := b.check(t, j, filepath.Join(b.root, spec.OutputPath, "web-01"), c.format, sources)
				var got []string
				for _, d := range r.Disks {
					got = append(got, d.Root.String())
				}
				if roots == nil {
					roots = got
				}
				if fmt.Sprint(got) != fmt.Sprint(roots) {
					t.Fatalf("roots %v, the first format had %v", got, roots)
				}
			})
		}
	}
}

// check compares an export with the source by qemu-img and with its receipt.
// The sources are in the order of the disks' keys, from 2000; the receipt's order
// is that of the controllers.
func (b *bench) check(t *testing.T, j job.Job, dir, format string, sources []string) *receipt.Receipt {
	t.Helper()
	rep, err := artifact.Verify(t.Context(), dir, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() {
		t.Fatalf("%+v", rep)
	}
	for _, d := range rep.Receipt.Disks {
		key, err := strconv.Atoi(d.Key)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, d.File)
		if d.Member != "" {
			work := t.TempDir()
			run(t, "tar", "-xf", file, "-C", work)
			file = filepath.Join(work, d.Member)
		}
		run(t, "qemu-img", "compare", "-f", "raw", "-F", format, sources[key-2000], file)
		if format == "qcow2" {
			run(t, "qemu-img", "check", "-f", "qcow2", file)
		}
	}
	if len(j.Artifacts) == 0 || j.Receipt == nil {
		t.Fatalf("the job names no artifact or receipt: %+v", j)
	}
	return rep.Receipt
}

// TestOddDisks: a large sparse disk, a full one, one that ends within a grain,
// and an empty one; and names that no file system takes.
func TestOddDisks(t *testing.T) {
	if testing.Short() {
		t.Skip("ten GiB of disk: make race runs this without the race detector")
	}
	b := newBench(t, vcsim.Options{})
	var sources []string
	for key := range int32(4) {
		sources = append(sources, b.source("/DC/vm/production-db", 2000+key))
	}
	for _, c := range []struct{ format, transport, qemu string }{
		{"qcow2", "range", "qcow2"},
		{"ova", "nfc", "vmdk"},
		{"raw", "nfc", "raw"},
	} {
		t.Run(c.format, func(t *testing.T) {
			j := b.export(job.Spec{VMPath: "/DC/vm/production-db", Format: c.format, Transport: c.transport, OutputPath: c.format})
			b.check(t, j, filepath.Join(b.root, c.format, "production-db"), c.qemu, sources)
		})
	}
}

func TestOddNames(t *testing.T) {
	b := newBench(t, vcsim.Options{})
	vms, err := b.VMs(t.Context(), "", "/DC/vm/Odd/*")
	if err != nil || len(vms) != 4 {
		t.Fatal(len(vms), err)
	}
	for _, vm := range vms {
		j := b.export(job.Spec{VMPath: vm.Path, Format: "ova", OutputPath: "odd"})
		dir := filepath.Dir(j.Artifacts[0].Path)
		b.check(t, j, dir, "vmdk", []string{b.source(strings.TrimPrefix(vm.Path, "/DC/vm/"), 2000)})
	}
	entries, err := os.ReadDir(filepath.Join(b.root, "odd"))
	if err != nil || len(entries) != 4 {
		t.Fatal(entries, err)
	}
}

// TestUsageOfAnExport: what an export is billed for is what it moved.
func TestUsageOfAnExport(t *testing.T) {
	b := newBench(t, vcsim.Options{})
	j := b.export(job.Spec{VMPath: "/DC/vm/batch-01", Format: "qcow2", OutputPath: "usage"})
	var stored int64
	for _, a := range j.Artifacts {
		stored += a.Bytes
	}
	var capacity int64
	vm, err := b.VM(t.Context(), "", "/DC/vm/batch-01")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range vm.Disks {
		capacity += d.CapacityBytes
	}
	_, months, err := b.Service.Usage(t.Context(), b.user, "", "", "")
	if err != nil || len(months) != 1 {
		t.Fatal(months, err)
	}
	if u := months[0]; u.Completed != 1 || u.BytesRead != capacity || u.BytesStored != stored || u.BytesTransferred <= 0 || u.BytesTransferred > capacity || u.Seconds <= 0 {
		t.Errorf("used %+v; the disks have %d bytes, the artifacts %d", u, capacity, stored)
	}
}

package daemon

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/dispatch"
	"github.com/hypersdk/hypersdk/internal/job"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// TestManifests: generate_manifest decides about the .mf of a package and the
// SHA256SUMS of the other formats, and every choice can be verified later.
func TestManifests(t *testing.T) {
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{{Path: "small", Disks: []vcsim.Disk{{Size: 4 << 20}}}}})
	yes, no := true, false
	for _, c := range []struct {
		name     string
		format   string
		manifest *bool
		files    string // what the output has beside disks and receipt
	}{
		{"ova", "ova", nil, "small.mf small.ovf"},
		{"ova without", "ova", &no, "small.ovf"},
		{"ovf", "ovf", nil, "small.mf small.ovf"},
		{"ovf without", "ovf", &no, "small.ovf"},
		{"qcow2", "qcow2", nil, ""},
		{"qcow2 with", "qcow2", &yes, "SHA256SUMS"},
		{"raw with", "raw", &yes, "SHA256SUMS"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := strings.ReplaceAll(c.name, " ", "-")
			b.export(job.Spec{VMPath: "/DC/vm/small", Format: c.format, OutputPath: out, GenerateManifest: c.manifest, EnableCheckpoints: &no})
			dir := filepath.Join(b.root, out, "small")
			rep, err := artifact.Verify(t.Context(), dir, nil, nil)
			if err != nil || !rep.OK() {
				t.Fatalf("%+v, %v", rep, err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, e := range entries {
				names = append(names, e.Name())
			}
			if c.format == "ova" {
				names = strings.Fields(run(t, "tar", "-tf", filepath.Join(dir, "small.ova")))
			}
			for _, name := range []string{"small.mf", "small.ovf", "SHA256SUMS"} {
				if want := strings.Contains(c.files, name); want != strings.Contains(strings.Join(names, " "), name) {
					t.Errorf("%s is there: %v; all: %v", name, !want, names)
				}
			}
			if strings.Contains(c.files, "SHA256SUMS") {
				run(t, "sh", "-c", "cd "+dir+" && sha256sum --strict -c SHA256SUMS")
			}
		})
	}
}

// marks counts the checkpoints that runs leave.
type marks struct {
	dispatch.Runner
	appended atomic.Int64
}

func (m *marks) Run(ctx context.Context, t dispatch.Task) (job.Outcome, error) {
	t.Checkpoints = counted{t.Checkpoints, &m.appended}
	return m.Runner.Run(ctx, t)
}

type counted struct {
	dispatch.Checkpoints
	appended *atomic.Int64
}

func (c counted) Append(ctx context.Context, disk string, offset int64, digest, record []byte) error {
	c.appended.Add(1)
	return c.Checkpoints.Append(ctx, disk, offset, digest, record)
}

// TestCheckpointsAreASwitch: enable_checkpoints: false leaves none.
func TestCheckpointsAreASwitch(t *testing.T) {
	m := &marks{}
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{noisy("a", 66<<20)}}, func(c *EngineConfig) {
		c.Wrap = func(next dispatch.Runner) dispatch.Runner { m.Runner = next; return m }
	})
	no := false
	b.export(job.Spec{VMPath: "/DC/vm/a", Format: "raw", Verify: "none", OutputPath: "with"})
	if m.appended.Swap(0) == 0 {
		t.Error("there are no checkpoints by default")
	}
	b.export(job.Spec{VMPath: "/DC/vm/a", Format: "raw", Verify: "none", OutputPath: "without", EnableCheckpoints: &no})
	if n := m.appended.Load(); n != 0 {
		t.Errorf("%d checkpoints in spite of enable_checkpoints: false", n)
	}
}

// TestProfileOfDirectory: a job takes the roadmap's profile from the directory.
func TestProfileOfDirectory(t *testing.T) {
	b := newBench(t, vcsim.Options{VMs: []vcsim.VM{{Path: "small", Disks: []vcsim.Disk{{Size: 4 << 20}}}}})
	j := b.export(job.Spec{VMPath: "/DC/vm/small", Profile: "prod-backup"})
	if j.Spec.Format != "ova" || j.Spec.CompressionLvl != 6 || j.Spec.BandwidthLimit != "50MB" || j.Spec.Verify != "full" || !j.Spec.Checkpoints() {
		text, _ := json.Marshal(j.Spec)
		t.Errorf("%s", text)
	}
}

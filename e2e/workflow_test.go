//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// moved is exported, converted, and uploaded to both kinds of destination at
// once. Its raw image is larger than one part of a multipart upload, five times.
const moved = "/DC/vm/moved"

const movingPlan = `
name: NAME
jobs:
  - {id: export, type: export, vm_path: /DC/vm/moved, format: qcow2, transport: range, output_path: NAME}
  - {id: convert, type: convert, depends_on: export, input: $export.output, target_format: raw, name: converted}
  - {id: bucket, type: upload, depends_on: convert, input: $convert.output, destination: "s3://backups/NAME"}
  - {id: directory, type: upload, depends_on: convert, input: $convert.output, destination: "file://ROOT/NAME/copy"}
`

// movingSteps are its steps; the last two run at once.
var movingSteps = []string{"export", "convert", "bucket", "directory"}

// TestChaosWorkflow kills the daemon at random instants of each step of a
// workflow, and asserts that the job goes on each time to its end, that each
// step was completed once, that what is in the object store and in the directory
// is the VM's disk and verifies, and that nothing else is left anywhere.
func TestChaosWorkflow(t *testing.T) {
	h := newHouse(t, vcsim.Options{LeaseTimeout: leaseTimeout, VMs: []vcsim.VM{
		{Path: "moved", On: true, Disks: []vcsim.Disk{dense(80*mib, 1)}},
	}})
	m := &moving{house: h, rnd: chance(t), s3: newGateway(t), source: filepath.Join(t.TempDir(), "source.raw")}
	h.extra = m.s3.extra + "hyper2kvm:\n  engine: builtin\n"
	content, err := h.sim.Disk(moved, 2000)
	if err == nil {
		err = content.WriteFile(m.source)
	}
	if err != nil {
		t.Fatal(err)
	}
	h.sim.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Rate: 48 * mib})
	kills := size(4, 40)
	for i := range kills {
		m.round(movingSteps[i%len(movingSteps)])
	}
	m.finish()
	t.Logf("%d kills interrupted %d runs of %d workflows; %d of them left a multipart upload behind, %d a staged directory",
		kills, m.cuts, m.made, m.uploads, m.staged)
	if m.cuts == 0 {
		t.Error("no run was interrupted: the test proves nothing")
	}
	if long() && (m.uploads == 0 || m.staged == 0) {
		t.Error("no kill struck an upload: the test proves nothing about them")
	}
}

// moving is the state of the kill loop: one workflow after the other.
type moving struct {
	*house
	rnd    *rand.Rand
	s3     *gateway
	source string // what is on the VM's disk
	job    string // that is under way, empty before the first
	made   int    // workflows

	cuts            int // runs that were interrupted
	uploads, staged int // kills that left something to go on with
}

// name is that of the workflow under way: its prefix and its directory.
func (m *moving) name() string { return fmt.Sprint("move-", m.made) }

// round runs a daemon until a random instant after the step has begun.
func (m *moving) round(step string) {
	m.Helper()
	d := m.start()
	if m.job == "" {
		m.made++
		plan := strings.NewReplacer("NAME", m.name(), "ROOT", m.output).Replace(movingPlan)
		r, err := d.SubmitFile(m.Context(), []byte(plan), "application/yaml")
		if err != nil || len(r.JobIDs) != 1 {
			m.Fatalf("%v %+v", err, r)
		}
		m.job = r.JobIDs[0]
	}
	while := 500 * time.Millisecond
	eventually(m.T, "the step "+step+" to begin", func() bool { return begun(m.get(d, m.job), step) })
	if step == "bucket" { // most of it is reading: wait for what a crash can leave there
		while = 80 * time.Millisecond
		eventually(m.T, "a multipart upload", func() bool {
			return len(m.s3.unfinished()) > 0 || m.get(d, m.job).Status.Final()
		})
	}
	<-time.After(time.Duration(m.rnd.Int64N(int64(while))))
	d.kill()
	if len(m.s3.unfinished()) > 0 {
		m.uploads++
	}
	for path := range m.strays() {
		if strings.HasSuffix(path, ".partial") {
			m.staged++
			break
		}
	}
	if step == movingSteps[len(movingSteps)-1] {
		m.finish()
	}
}

// begun tells whether the step has begun, or will not any more.
func begun(j client.Job, step string) bool {
	return j.Status.Final() || slices.ContainsFunc(j.Steps, func(s client.StepState) bool { return s.ID == step && s.Attempt > 0 })
}

// finish lets the workflow that is under way end, judges it and removes what it
// made.
func (m *moving) finish() {
	m.Helper()
	if m.job == "" {
		return
	}
	d := m.start()
	j := m.wait(d, m.job)
	m.judgeRun(d, j)
	made := client.Job{}
	for _, s := range j.Steps {
		for _, a := range s.Artifacts {
			if a.Path != "" {
				made.Artifacts = append(made.Artifacts, a)
			}
		}
	}
	m.judgeStored()
	m.tidy(made)
	if left, err := filepath.Glob(filepath.Join(m.state, "work", "*")); err != nil || len(left) > 0 {
		m.Errorf("left at work: %v %v", left, err)
	}
	d.stop()
	for _, dir := range []string{filepath.Join(m.output, m.name()), filepath.Join(m.s3.objects, m.name())} {
		if err := os.RemoveAll(dir); err != nil {
			m.Fatal(err)
		}
	}
	m.job = ""
}

// judgeRun asserts that the job was completed, at its first attempt, and each
// step once.
func (m *moving) judgeRun(d *daemon, j client.Job) {
	m.Helper()
	if j.Status != client.Completed || j.Attempt != 1 || len(j.Steps) != len(movingSteps) {
		m.Fatalf("%s ended %s after %d attempts: %+v\n%+v", m.name(), j.Status, j.Attempt, j.Error, j.Steps)
	}
	kinds := m.events(d, j.ID)
	m.cuts += kinds["job.interrupted"]
	if kinds["job.completed"] != 1 {
		m.Errorf("%s was completed %d times", m.name(), kinds["job.completed"])
	}
	completed := map[string]int{}
	for u, err := range d.Events(m.Context(), j.ID, 0) {
		if err != nil {
			m.Fatal(err)
		}
		if u.Event != nil && u.Event.Kind == "step.completed" {
			completed[u.Event.Data.Step]++
		}
	}
	for _, s := range j.Steps {
		if s.Status != "completed" || s.Attempt != 1 || completed[s.ID] != 1 {
			m.Errorf("%s: the step was completed %d times, and is %+v", m.name(), completed[s.ID], s)
		}
	}
}

// judgeStored asserts that the object store and the directory each have the one
// set of files that the conversion made, which are the VM's disk.
func (m *moving) judgeStored() {
	m.Helper()
	made := filepath.Join(m.output, m.name(), "converted")
	want := names(m.T, made)
	for _, dir := range []string{made, filepath.Join(m.output, m.name(), "copy"), filepath.Join(m.s3.objects, m.name())} {
		if got := names(m.T, dir); !slices.Equal(got, want) {
			m.Errorf("%s holds %v, the conversion made %v", dir, got, want)
		}
		rep, err := artifact.Verify(m.Context(), dir, nil, nil)
		if err != nil || !rep.OK() || len(rep.Receipt.Disks) != 1 {
			m.Errorf("%s does not verify: %+v %v", dir, rep, err)
			continue
		}
		image := filepath.Join(dir, rep.Receipt.Disks[0].File)
		out, err := exec.CommandContext(m.Context(), "qemu-img", "compare", "-f", "raw", "-F", "raw", m.source, image).CombinedOutput()
		if err != nil {
			m.Errorf("%s is not the VM's disk: %v %s", image, err, out)
		}
	}
	stored := map[string]bool{}
	for _, key := range m.s3.keys("") {
		stored[key] = true
	}
	for _, name := range want {
		delete(stored, m.name()+"/"+name)
	}
	if left := slices.Collect(maps.Keys(stored)); len(left) > 0 {
		m.Errorf("the object store holds more than the upload: %v", left)
	}
	if left := m.s3.unfinished(); len(left) > 0 {
		m.Errorf("multipart uploads are left: %v", left)
	}
}

// names lists the entries of a directory in order.
func names(t *testing.T, dir string) (all []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Error(err)
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

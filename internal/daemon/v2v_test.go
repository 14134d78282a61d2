//go:build v2v

package daemon

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// endWithin waits for the end of a job of an emulated machine, which takes minutes.
func (p *plant) endWithin(id string, most time.Duration) client.Job {
	p.t.Helper()
	phase := ""
	for deadline := time.Now().Add(most); ; time.Sleep(time.Second) {
		j := p.get(id)
		if j.Progress != nil && j.Progress.Phase != phase {
			phase = j.Progress.Phase
			p.t.Log(phase)
		}
		if j.Status.Final() {
			return j
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s is %s after %s: %+v", id, j.Status, most, j.Progress)
		}
	}
}

// TestVirtV2V: the real virt-v2v on a real guest, from a simulated vCenter to a
// qcow2 that qemu-img finds sound and that is not what was exported; and on a disk
// without one, which is no fault of this machine.
func TestVirtV2V(t *testing.T) {
	image := os.Getenv("V2V_GUEST")
	if image == "" {
		t.Skip("no guest: make test-v2v makes one, and runs this")
	}
	for _, tool := range []string{"virt-v2v", "nbdkit", "nbdcopy", "qemu-img"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("%s is not installed here: scripts/deps.sh %s", tool, tool)
		}
	}
	machines := []vcsim.VM{{Path: "debian", Disks: []vcsim.Disk{{Raw: image}}}, {Path: "empty", Disks: []vcsim.Disk{{Size: 16 << 20}}}}
	p := newPlant(t, vcsim.Options{VMs: machines}, func(c *Config) { c.Hyper2kvm = Hyper2kvmConfig{Engine: "virt-v2v"} })
	work := func(vm string) string {
		return p.submit(strings.Replace(`
jobs:
  - {id: e, type: export, vm_path: /DC/vm/VM, format: vmdk}
  - {id: k, type: hyper2kvm, depends_on: e, input: $e.output, target_format: qcow2, retry: {max_attempts: 1}}
`, "VM", vm, 1))
	}
	begin := time.Now()
	j := p.endWithin(work("debian"), 25*time.Minute)
	t.Logf("virt-v2v took %s", time.Since(begin).Round(time.Second))
	if j.Status != client.Completed {
		t.Fatalf("%+v", j.Error)
	}
	root := p.cfg.Output.Roots[0]
	made := filepath.Join(root, "debian-k", "debian-disk1.qcow2")
	if out, err := exec.Command("qemu-img", "check", "-f", "qcow2", made).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	var info struct {
		Format string `json:"format"`
		Size   int64  `json:"virtual-size"`
	}
	text, err := exec.Command("qemu-img", "info", "--output=json", "-f", "qcow2", made).Output()
	if err == nil {
		err = json.Unmarshal(text, &info)
	}
	before, serr := os.Stat(image)
	if err != nil || serr != nil || info.Format != "qcow2" || info.Size != before.Size() {
		t.Errorf("%+v, %v, %v", info, err, serr)
	}
	if out, err := exec.Command("qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, made).CombinedOutput(); err == nil || !strings.Contains(string(out), "mismatch") {
		t.Errorf("virt-v2v changed nothing in the guest: %s", out)
	}
	if rep, err := artifact.Verify(t.Context(), filepath.Dir(made), nil, nil); err != nil || !rep.OK() {
		t.Errorf("%+v %v", rep, err)
	}
	none := p.endWithin(work("empty"), 10*time.Minute)
	if k := stepOf(none, "k"); k.Status != "failed" || k.Error.Code != "HX-H2K-011" {
		t.Errorf("a disk without a guest: %+v", k.Error)
	}
	p.clean()
}

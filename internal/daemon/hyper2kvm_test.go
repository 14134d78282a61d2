package daemon

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/artifact"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// standIn speaks the two protocols of hyper2kvm; the file mode beside it says how
// it behaves. It writes into its input, as the real one does, and changes a byte
// of the guest, as a fix-up does.
const standIn = `#!/usr/bin/env python3
import json, os, shutil, subprocess, sys, time
here = os.path.dirname(os.path.abspath(sys.argv[0]))
mode = open(os.path.join(here, "mode")).read().strip()
if sys.argv[1] == "--help":
    print("usage: hyper2kvm", "[--config FILE]" if mode == "config" else "[--manifest FILE]")
    sys.exit(0)
def fix(src, dst):
    subprocess.run(["qemu-io", "-f", "qcow2", "-c", "write -P 0x5a 4096 512", src], check=True, stdout=subprocess.DEVNULL)
    shutil.copy(src, dst)
print("inspecting the guest", flush=True)
spec = json.load(open(sys.argv[2]))
if mode == "config":
    assert spec["cmd"] == "local" and spec["flatten"] and spec["out_format"] == "qcow2"
    fix(spec["vmdk"], os.path.join(spec["output_dir"], spec["to_output"]))
    sys.exit(0)
assert spec["manifest_version"] == "1.0" and spec["disks"][0]["boot_order_hint"] == 0
out = spec["output"]["directory"]
if mode == "fail":
    print("cannot find an operating system", file=sys.stderr)
    sys.exit(3)
if mode == "hang":
    child = subprocess.Popen(["sleep", "1000"])
    open(os.path.join(here, "pids"), "w").write("%d %d" % (os.getpid(), child.pid))
    time.sleep(1000)
paths = []
for d in spec["disks"]:
    paths.append(os.path.join(out, d["id"] + "." + spec["output"]["format"]))
    fix(d["local_path"], paths[-1])
if mode == "escape":
    paths = ["/etc/passwd"]
json.dump({"artifacts": [{"path": p} for p in paths]}, open(os.path.join(out, "report.json"), "w"))
`

const converting = `
jobs:
  - {id: e, type: export, vm_path: /DC/vm/web-01, format: qcow2, output_path: MODE}
  - {id: k, type: hyper2kvm, depends_on: e, input: $e.output, target_format: raw}
`

func TestHyper2kvmRunsAsAChild(t *testing.T) {
	tools := t.TempDir()
	program := filepath.Join(tools, "hyper2kvm")
	if err := os.WriteFile(program, []byte(standIn), 0o755); err != nil {
		t.Fatal(err)
	}
	p := newPlant(t, vcsim.Options{VMs: small}, func(c *Config) {
		c.Hyper2kvm = Hyper2kvmConfig{Engine: "hyper2kvm", Path: program}
	})
	begin := func(mode string) string {
		put(t, tools, "mode", mode)
		return p.submit(strings.Replace(converting, "MODE", mode, 1))
	}
	for _, mode := range []string{"manifest", "config"} {
		j := p.end(begin(mode))
		if j.Status != client.Completed {
			t.Fatalf("%s: %+v", mode, j.Error)
		}
		root := filepath.Join(p.cfg.Output.Roots[0], mode)
		rep, err := artifact.Verify(t.Context(), filepath.Join(root, "web-01-k"), nil, nil)
		if err != nil || !rep.OK() {
			t.Fatalf("%+v %v", rep, err)
		}
		if out, err := exec.Command("qemu-img", "compare", "-f", "qcow2", "-F", "raw", filepath.Join(root, "web-01", "web-01-disk1.qcow2"),
			filepath.Join(root, "web-01-k", "web-01-disk1.raw")).CombinedOutput(); err == nil || !strings.Contains(string(out), "mismatch at offset 4096") {
			t.Errorf("%s: the fix-up is not in the result: %s", mode, out)
		}
		if rep, err := artifact.Verify(t.Context(), filepath.Join(root, "web-01"), nil, nil); err != nil || !rep.OK() {
			t.Errorf("%s: it wrote into the export itself: %v", mode, err)
		}
	}
	for mode, code := range map[string]string{"fail": "HX-CHILD-003", "escape": "HX-H2K-008"} {
		j := p.end(begin(mode))
		if k := stepOf(j, "k"); k.Status != "failed" || k.Error.Code != code {
			t.Errorf("%s: %+v", mode, k)
		}
		if mode == "fail" && !strings.Contains(j.Error.Message, "cannot find an operating system") {
			t.Errorf("the error does not say what the program said: %s", j.Error.Message)
		}
	}
	id := begin("hang")
	var pids []string
	p.eventually("the program runs", func() bool {
		text, _ := os.ReadFile(filepath.Join(tools, "pids"))
		pids = strings.Fields(string(text))
		return len(pids) == 2
	})
	p.eventually("its progress is shown", func() bool {
		j := p.get(id)
		return j.Progress != nil && j.Progress.Phase == "k: hyper2kvm: inspecting the guest"
	})
	if _, err := p.client.Cancel(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	if j := p.end(id); j.Status != client.Cancelled {
		t.Errorf("%s", j.Status)
	}
	for _, text := range pids {
		pid, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		p.eventually("the whole group is gone", func() bool { return syscall.Kill(pid, 0) != nil || zombie(pid) })
	}
	p.clean()
}

func zombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || strings.Contains(string(stat), ") Z ")
}

// TestAMissingProgramIsSaidAtSubmit: with the way to install it, and the way
// without.
func TestAMissingProgramIsSaidAtSubmit(t *testing.T) {
	p := newPlant(t, vcsim.Options{VMs: small}, func(c *Config) { c.Hyper2kvm = Hyper2kvmConfig{VirtV2VPath: "/nonexistent/virt-v2v"} })
	t.Setenv("PATH", t.TempDir())
	for _, engine := range []string{"hyper2kvm", "virt-v2v"} {
		_, err := p.client.SubmitFile(t.Context(), []byte(strings.Replace(converting, "target_format", "engine: "+engine+", target_format", 1)), "application/yaml")
		if err == nil || !strings.Contains(err.Error(), "HX-H2K-001") || !strings.Contains(err.Error(), "engine: builtin") || !strings.Contains(err.Error(), "line 4") {
			t.Errorf("%s: %v", engine, err)
		}
	}
}

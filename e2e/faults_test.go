//go:build e2e

package e2e

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/client"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// faultCase is one thing that goes wrong in one export.
type faultCase struct {
	name   string
	spec   client.Spec
	faults []vcsim.Fault
	// The end: completed if code is empty, failed with it otherwise.
	code string
}

const victim = "/DC/vm/Team A/app" // is running

// smallVMs is the default inventory without what is large.
func smallVMs() []vcsim.VM {
	return slices.DeleteFunc(vcsim.DefaultInventory(), func(v vcsim.VM) bool { return v.Path == "web-01" || v.Path == "production-db" })
}

func sourceFaults() []faultCase {
	nfc := client.Spec{VMPath: victim, Transport: "nfc", Format: "qcow2", MaxAttempts: 1}
	flat := client.Spec{VMPath: victim, Transport: "range", Format: "vmdk", MaxAttempts: 1}
	twice := nfc
	twice.MaxAttempts = 2
	one := func(f vcsim.Fault) []vcsim.Fault { return []vcsim.Fault{f} }
	return []faultCase{
		{"corrupt grain", nfc, one(vcsim.Fault{Kind: vcsim.CorruptGrain, After: 4 * mib}), "HX-DISK-002"},
		{"content other than the manifest says", nfc, one(vcsim.Fault{Kind: vcsim.CorruptContent, After: 70_000}), "HX-VSPHERE-"},
		{"cut stream, for ever", nfc, one(vcsim.Fault{Kind: vcsim.Cut, After: mib, Transport: vcsim.NFC}), "HX-VSPHERE-"},
		{"cut stream, once", twice, one(vcsim.Fault{Kind: vcsim.Cut, After: mib, Transport: vcsim.NFC, Times: 1}), ""},
		{"cut ranges", flat, one(vcsim.Fault{Kind: vcsim.Cut, After: 300_000, Transport: vcsim.Folder, Times: 5}), ""},
		{"lease lost", nfc, one(vcsim.Fault{Kind: vcsim.LoseLease, After: mib}), "HX-VSPHERE-"},
		{"lease lost, once", twice, one(vcsim.Fault{Kind: vcsim.LoseLease, After: mib, Times: 1}), ""},
		{"session expires in ranges", flat, one(vcsim.Fault{Kind: vcsim.ExpireSession, Transport: vcsim.Folder, Skip: 2, Times: 2}), ""},
		{"session expires in a stream", twice, one(vcsim.Fault{Kind: vcsim.ExpireSession, Transport: vcsim.NFC, Times: 1}), ""},
		{"503s", flat, one(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.Folder, Times: 3}), ""},
		{"503s of the stream", nfc, one(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.NFC, Times: 2}), ""},
		{"503s for ever", nfc, one(vcsim.Fault{Kind: vcsim.Unavailable, Transport: vcsim.NFC}), "HX-VSPHERE-"},
		{"no snapshot", flat, one(vcsim.Fault{Kind: vcsim.FailCreateSnapshot}), "HX-VSPHERE-"},
		{"missing VM", client.Spec{VMPath: "/DC/vm/nobody"}, nil, "HX-VSPHERE-"},
		{"ambiguous name", client.Spec{VMPath: "app"}, nil, "HX-VSPHERE-"},
		{"raw device mapping", client.Spec{VMPath: "/DC/vm/Blocked/raw-mapped"}, nil, "HX-"},
	}
}

// TestFaultsOfTheSource lets vCenter and the network go wrong: what passes is
// waited out, what does not ends the job with a reason and a remedy, and in both
// cases nothing half-made stays.
func TestFaultsOfTheSource(t *testing.T) {
	h := newHouse(t, vcsim.Options{VMs: smallVMs(), LeaseTimeout: leaseTimeout})
	d := h.start()
	var ended []client.Job
	for _, c := range sourceFaults() {
		h.sim.Faults().Clear()
		for _, f := range c.faults {
			h.sim.Faults().Add(f)
		}
		before := h.fired(c.faults)
		c.spec.OutputPath = strings.NewReplacer(" ", "-", ",", "").Replace(c.name)
		j := h.wait(d, h.submit(d, c.spec))
		if len(c.faults) > 0 && h.fired(c.faults) == before {
			t.Errorf("%s: the fault did not strike", c.name)
		}
		h.judge(c.name, j, c.code)
		ended = append(ended, j)
		h.sim.Faults().Clear()
	}
	h.tidy(ended...)
	d.stop()
}

func (h *house) fired(faults []vcsim.Fault) (n int) {
	for _, f := range faults {
		n += h.sim.Faults().Fired(f.Kind)
	}
	return n
}

// judge asserts how a job ended: proven, or failed with such a code, with what
// happened and what to do.
func (h *house) judge(name string, j client.Job, code string) {
	h.Helper()
	if code == "" {
		h.proven(j)
		return
	}
	switch e := j.Error; {
	case j.Status != client.Failed || e == nil:
		h.Errorf("%s: ended %s: %+v", name, j.Status, e)
	case !strings.HasPrefix(e.Code, code) || e.Message == "" || e.Fix == "":
		h.Errorf("%s: failed with %+v, want code %s…, a message and a fix", name, e, code)
	default:
		h.Logf("%s: %s %s → %s", name, e.Code, e.Message, e.Fix)
	}
}

// TestFaultsOfThePassword: the daemon serves, the job tells what is wrong.
func TestFaultsOfThePassword(t *testing.T) {
	h := newHouse(t, vcsim.Options{VMs: smallVMs()})
	write(t, h.password, "wrong\n")
	d := h.start()
	j := h.wait(d, h.submit(d, client.Spec{VMPath: victim, MaxAttempts: 1}))
	h.judge("wrong password", j, "HX-VSPHERE-010")
	h.tidy()
	d.stop()
}

// TestFaultsOfTheDestination: full, read-only, below a file.
func TestFaultsOfTheDestination(t *testing.T) {
	needRoot(t)
	h := newHouse(t, vcsim.Options{VMs: smallVMs()})
	full, frozen := mountTmpfs(t, "size=2m"), mountTmpfs(t, "size=2m")
	if err := syscall.Mount("", frozen, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	write(t, file, "")
	h.roots = []string{full, frozen, file}
	d := h.start()
	for _, c := range []faultCase{
		{"disk full", client.Spec{OutputPath: full, Format: "raw"}, nil, "HX-DST-010"},
		{"disk full, through the page cache", client.Spec{OutputPath: full, Format: "ova"}, nil, "HX-DST-010"},
		{"read-only", client.Spec{OutputPath: frozen}, nil, "HX-DST-011"},
		{"below a file", client.Spec{OutputPath: filepath.Join(file, "sub")}, nil, "HX-DST-012"},
	} {
		c.spec.VMPath, c.spec.MaxAttempts = victim, 1
		h.judge(c.name, h.wait(d, h.submit(d, c.spec)), c.code)
	}
	h.roots = []string{full, frozen} // the file is no directory to look into
	h.tidy()
	d.stop()
}

// TestFaultsOfThePath: an output path that leads out is refused before anything
// is made of it.
func TestFaultsOfThePath(t *testing.T) {
	h := newHouse(t, vcsim.Options{VMs: smallVMs()})
	d := h.start()
	refusals := []string{"HX-DST-001", "HX-DST-002", "HX-JOB-005"}
	for _, path := range []string{
		"../out", "a/../../out", "/etc", "..", h.output + "/../out", h.output + "x", "a\x00b", "/proc/self/root/tmp",
	} {
		_, err := d.Submit(t.Context(), client.Spec{VMPath: victim, OutputPath: path})
		var e *client.Error
		if !errors.As(err, &e) || len(e.Errors) != 1 || !slices.Contains(refusals, e.Errors[0].Code) || e.Errors[0].Fix == "" {
			t.Errorf("output_path %q: %#v", path, err)
		}
	}
	h.tidy()
	d.stop()
}

// TestFaultsOfTheName: names that are no file names are exported under ones that
// are.
func TestFaultsOfTheName(t *testing.T) {
	h := newHouse(t, vcsim.Options{VMs: smallVMs()})
	d := h.start()
	var ended []client.Job
	for _, vm := range []string{
		"/DC/vm/Odd/app%2fdb", "/DC/vm/Odd/größe-データ-01", "/DC/vm/Odd/100%25 [test] 'quoted' & <odd>",
		"/DC/vm/Odd/" + strings.Repeat("long-name-", 20),
	} {
		j := h.wait(d, h.submit(d, client.Spec{VMPath: vm, Format: "ova"}))
		h.proven(j)
		if filepath.Dir(outputOf(j)) != h.output {
			t.Errorf("%s went to %s", vm, outputOf(j))
		}
		t.Logf("%s → %s", vm, filepath.Base(outputOf(j)))
		ended = append(ended, j)
	}
	h.tidy(ended...)
	d.stop()
}

// mountTmpfs mounts a file system in memory until the test ends.
func mountTmpfs(t *testing.T, options string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("e2e", dir, "tmpfs", 0, options); err != nil {
		t.Fatalf("mount a tmpfs: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}

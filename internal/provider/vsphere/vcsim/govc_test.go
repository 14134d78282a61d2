package vcsim_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vmware/govmomi/ovf"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// govcVersion is the latest that the module proxy serves as a package.
const govcVersion = "v0.39.0"

// govc returns govmomi's own command line client, the judge of this package. It
// is built once per machine if it is not there.
func govc(t *testing.T) string {
	t.Helper()
	if p, err := exec.LookPath("govc"); err == nil {
		return p
	}
	out, err := exec.CommandContext(t.Context(), "go", "env", "GOPATH").Output()
	if err != nil {
		t.Fatalf("go env: %v", err)
	}
	if p, err := exec.LookPath(filepath.Join(strings.TrimSpace(string(out)), "bin", "govc")); err == nil {
		return p
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "hypersdk-tools", govcVersion)
	bin := filepath.Join(dir, "govc")
	if _, err := os.Stat(bin); err == nil {
		return bin
	}
	install := exec.CommandContext(t.Context(), "go", "install", "github.com/vmware/govmomi/govc@"+govcVersion)
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("build govc: %v\n%s", err, out)
	}
	return bin
}

// run calls govc against a server, with its certificate pinned.
func run(t *testing.T, s *vcsim.Server, args ...string) (string, error) {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, fmt.Appendf(nil, "%s %s\n", s.URL().Host, s.Thumbprint()), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), govc(t), args...)
	cmd.Env = append(os.Environ(),
		"GOVC_URL="+s.URL().String(), "GOVC_USERNAME="+s.Username(), "GOVC_PASSWORD="+s.Password(),
		"GOVC_TLS_KNOWN_HOSTS="+hosts, "GOVC_PERSIST_SESSION=false", "GOVC_INSECURE=false",
		"HOME="+t.TempDir(),
	)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func mustRun(t *testing.T, s *vcsim.Server, args ...string) string {
	t.Helper()
	out, err := run(t, s, args...)
	if err != nil {
		t.Fatalf("govc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// qemuCompare tells whether qemu finds the same content in both images.
func qemuCompare(t *testing.T, vmdk, raw string) error {
	t.Helper()
	bin, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal("this test needs qemu-img: apt-get install qemu-utils")
	}
	out, err := exec.CommandContext(t.Context(), bin, "compare", "-f", "vmdk", "-F", "raw", vmdk, raw).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// compareExport checks a directory that govc wrote against frozen copies.
func compareExport(t *testing.T, dir, name string, raws []string) {
	t.Helper()
	for i, raw := range raws {
		vmdk := filepath.Join(dir, name, fmt.Sprintf("%s-disk-%d.vmdk", name, i))
		if err := qemuCompare(t, vmdk, raw); err != nil {
			t.Errorf("disk %d: %v", i, err)
		}
	}
	f, err := os.Open(filepath.Join(dir, name, name+".ovf"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	e, err := ovf.Unmarshal(f)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Disk.Disks) != len(raws) || e.VirtualSystem == nil || e.VirtualSystem.ID != name {
		t.Errorf("descriptor: %d disks, system %+v", len(e.Disk.Disks), e.VirtualSystem)
	}
}

// rawCopies writes what the machine's disks hold now into files.
func rawCopies(t *testing.T, s *vcsim.Server, vm string, n int) []string {
	t.Helper()
	dir := t.TempDir()
	var raws []string
	for i := range n {
		raw := filepath.Join(dir, fmt.Sprintf("%d.raw", i))
		if err := disk(t, s, vm, int32(2000+i)).WriteFile(raw); err != nil {
			t.Fatal(err)
		}
		raws = append(raws, raw)
	}
	return raws
}

// The real govc exports a powered-off machine with sparse, full, odd and empty
// disks, and qemu finds every one identical.
func TestGovcExportsPoweredOff(t *testing.T) {
	s := start(t, only("production-db"))
	dir := t.TempDir()
	raws := rawCopies(t, s, "production-db", 4)
	mustRun(t, s, "export.ovf", "-vm", "/DC/vm/production-db", "-sha", "256", dir)
	compareExport(t, dir, "production-db", raws)
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("leftovers %q", left)
	}
}

// A running machine is exported from a snapshot while its guest writes.
func TestGovcExportsSnapshotOfRunning(t *testing.T) {
	s := start(t, only("web-01"))
	raws := rawCopies(t, s, "web-01", 2)
	dir := t.TempDir()
	if out, err := run(t, s, "export.ovf", "-vm", "/DC/vm/web-01", dir); err == nil || !strings.Contains(out, "current state (Powered on)") {
		t.Errorf("export of a running machine: %v %s", err, out)
	}
	mustRun(t, s, "snapshot.create", "-m=false", "-vm", "/DC/vm/web-01", "backup")
	if err := s.GuestWrite("web-01", 2000, 12345, []byte("the guest writes on")); err != nil {
		t.Fatal(err)
	}
	mustRun(t, s, "export.ovf", "-vm", "/DC/vm/web-01", "-snapshot", "backup", "-f", dir)
	compareExport(t, dir, "web-01", raws)
	mustRun(t, s, "snapshot.remove", "-vm", "/DC/vm/web-01", "backup")
	now := rawCopies(t, s, "web-01", 1)
	if err := qemuCompare(t, filepath.Join(dir, "web-01", "web-01-disk-0.vmdk"), now[0]); err == nil {
		t.Error("the guest's write is lost, or qemu-img sees no difference")
	}
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("leftovers %q", left)
	}
}

// A damaged grain must be seen by the judge, or the tests above prove nothing.
func TestJudgeSeesDamage(t *testing.T) {
	s := start(t, only("batch-01"))
	raws := rawCopies(t, s, "batch-01", 1)
	for name, kind := range map[string]vcsim.FaultKind{"grain": vcsim.CorruptGrain, "content": vcsim.CorruptContent} {
		dir := t.TempDir()
		s.Faults().Add(vcsim.Fault{Kind: kind, VM: "/DC/vm/batch-01", Times: 1})
		mustRun(t, s, "export.ovf", "-vm", "/DC/vm/batch-01", dir)
		if err := qemuCompare(t, filepath.Join(dir, "batch-01", "batch-01-disk-0.vmdk"), raws[0]); err == nil {
			t.Errorf("%s: qemu-img sees no difference", name)
		}
	}
}

// What a cut does to govc: it fails and leaves its lease behind.
func TestGovcOnACut(t *testing.T) {
	s := start(t, only("batch-01"))
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Cut, Transport: vcsim.NFC, After: 1 << 20, Times: 1})
	out, err := run(t, s, "export.ovf", "-vm", "/DC/vm/batch-01", t.TempDir())
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(out, "EOF") {
		t.Errorf("%v: %s", err, out)
	}
	if left := s.Leftovers(); len(left) != 1 {
		t.Errorf("leftovers %q", left)
	}
}

// Other things people do with govc.
func TestGovcLooksAround(t *testing.T) {
	s := start(t, vcsim.Options{})
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"find", "/DC/vm", "-type", "m"}, "/DC/vm/Team B/app"},
		{[]string{"about"}, "VMware vCenter"},
		{[]string{"ls", "/DC/host"}, "/DC/host/Production"},
		{[]string{"vm.info", "/DC/vm/web-01"}, "poweredOn"},
		{[]string{"device.info", "-vm", "/DC/vm/production-db", "disk-*"}, "Hard disk 4"},
		{[]string{"datastore.info", "vmfs-01"}, "VMFS"},
		{[]string{"datastore.ls", "-ds", "vmfs-01", "web-01"}, "web-01-flat.vmdk"},
	} {
		if out := mustRun(t, s, tc.args...); !strings.Contains(out, tc.want) {
			t.Errorf("govc %s: no %q in\n%s", strings.Join(tc.args, " "), tc.want, out)
		}
	}
	file := filepath.Join(t.TempDir(), "x")
	mustRun(t, s, "datastore.download", "-ds", "vmfs-01", "batch-01/batch-01-flat.vmdk", file)
	if st, err := os.Stat(file); err != nil || st.Size() != 32<<20 {
		t.Errorf("download: %v, %v", st, err)
	}
}

package vcsim_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// What govc exports from web-01 boots, and the guest finds itself unharmed.
func TestExportBoots(t *testing.T) {
	qemu, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatal("this test needs QEMU: apt-get install qemu-system-x86")
	}
	s := start(t, only("web-01"))
	dir := t.TempDir()
	mustRun(t, s, "vm.power", "-off", "/DC/vm/web-01")
	mustRun(t, s, "export.ovf", "-vm", "/DC/vm/web-01", dir)
	vmdk := filepath.Join(dir, "web-01", "web-01-disk-0.vmdk")
	if _, err := os.Stat(vmdk); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), qemu, "-M", "pc,accel=tcg", "-m", "32", "-nographic", "-nodefaults",
		"-no-reboot", "-snapshot", "-serial", "stdio", "-drive", "file="+vmdk+",format=vmdk,if=ide").CombinedOutput()
	marker := s.Marker("/DC/vm/web-01")
	if err != nil || marker == "" || !strings.Contains(string(out), marker) {
		t.Errorf("no %q: %v\n%s", marker, err, out)
	}
}

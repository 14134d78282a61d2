package ova

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// frozen is the time in every test machine.
var frozen = time.Date(2026, 3, 14, 15, 9, 26, 0, time.UTC)

// testMachine is a machine with n disks on PVSCSI, sizes and digests unset.
func testMachine(n int) *Machine {
	m := &Machine{
		Stem: "web-01", Name: "web-01", GuestID: "debian12_64Guest", GuestName: "Debian GNU/Linux 12 (64-bit)",
		Hardware: "vmx-19", CPUs: 2, MemoryMB: 2048, Firmware: "bios",
		NICs: []NIC{{Label: "Network adapter 1", Type: "vmxnet3", Network: "VM Network"}},
		Time: frozen,
	}
	for i := range n {
		m.Disks = append(m.Disks, Disk{Controller: "pvscsi", Unit: int32(i), Capacity: int64(i+1) << 20})
	}
	return m
}

func contentOf(data []byte) Content {
	sum := sha256.Sum256(data)
	return Content{Size: int64(len(data)), Populated: 64 << 10, SHA256: hex.EncodeToString(sum[:])}
}

// noise is n bytes that differ for each seed.
func noise(seed uint64, n int) []byte {
	data := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return data
}

// must stops the test at an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fault.Detail(err))
	}
}

func must1[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// wantFault checks the kind and the code of an error.
func wantFault(t *testing.T, err error, kind fault.Kind, code string) {
	t.Helper()
	e := fault.As(err)
	if e == nil {
		t.Fatalf("no error, want %v %s", kind, code)
	}
	if e.Kind != kind || e.Code != code {
		t.Fatalf("%v %s (%s), want %v %s", e.Kind, e.Code, fault.Detail(err), kind, code)
	}
	if e.Msg == "" || e.Fix == "" {
		t.Fatalf("%s does not say what and how to fix it: %+v", e.Code, e)
	}
}

func createFile(t testing.TB, name string) *os.File {
	t.Helper()
	f := must1(os.Create(name))(t)
	t.Cleanup(func() { _ = f.Close() })
	return f
}

// writeDisks writes and closes the remaining disks.
func writeDisks(t testing.TB, w *Writer, disks [][]byte) {
	t.Helper()
	for w.Done() < len(disks) {
		data := disks[w.Done()]
		d := must1(w.Disk())(t)
		must1(d.WriteAt(data, 0))(t)
		must(t, d.Close(contentOf(data)))
	}
}

// writeOVA makes a whole archive in a file and returns its path.
func writeOVA(t testing.TB, m *Machine, nvram []byte, disks ...[]byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), m.Stem+".ova")
	f := createFile(t, name)
	w := must1(NewWriter(f, m))(t)
	writeDisks(t, w, disks)
	must1(w.Finish(context.Background(), nvram))(t)
	return name
}

// openOVA opens an archive that is on disk.
func openOVA(t testing.TB, name string) (*Package, error) {
	t.Helper()
	f := must1(os.Open(name))(t)
	t.Cleanup(func() { _ = f.Close() })
	return OpenOVA(f, must1(f.Stat())(t).Size())
}

// tool runs a program that the tests need and returns what it prints.
func tool(t testing.TB, debianPackage, name string, args ...string) string {
	t.Helper()
	out, err := tryTool(t, debianPackage, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return out
}

func tryTool(t testing.TB, debianPackage, name string, args ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: apt-get install --no-install-recommends %s", name, debianPackage)
	}
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), "LANG=C.UTF-8", "TZ=UTC", "LIBGUESTFS_BACKEND=direct")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	return out.String(), err
}

// realVMDK makes a streamOptimized VMDK by qemu-img and returns it with the raw
// image that it holds.
func realVMDK(t testing.TB, seed uint64, size int) (vmdk []byte, raw string) {
	t.Helper()
	dir := t.TempDir()
	raw = filepath.Join(dir, "disk.raw")
	content := make([]byte, size)
	copy(content[size/4:], noise(seed, size/8))
	must(t, os.WriteFile(raw, content, 0o600))
	out := filepath.Join(dir, "disk.vmdk")
	tool(t, "qemu-utils", "qemu-img", "convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", raw, out)
	return must1(os.ReadFile(out))(t), raw
}

package guest_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim/guest"
)

const diskSize = 16<<20 + 512

// image writes a guest to a file and returns it with the marker.
func image(t *testing.T, seed uint64) (path, marker string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "guest.raw")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	marker, err = guest.Write(f, diskSize, seed)
	if err := errors.Join(err, f.Truncate(diskSize), f.Close()); err != nil {
		t.Fatal(err)
	}
	return path, marker
}

// boot runs the disk in QEMU without KVM until it powers off, and returns what
// came on the serial console.
func boot(t *testing.T, drive string) []byte {
	t.Helper()
	bin, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		t.Fatal("this test needs QEMU: apt-get install qemu-system-x86")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, bin, "-M", "pc,accel=tcg", "-m", "32", "-nographic", "-nodefaults",
		"-no-reboot", "-serial", "stdio", "-drive", drive).CombinedOutput()
	if err != nil {
		t.Fatalf("qemu: %v\n%s", err, out)
	}
	return out
}

func TestBoots(t *testing.T) {
	raw, marker := image(t, 42)
	qcow2 := filepath.Join(t.TempDir(), "guest.qcow2")
	img, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal("this test needs qemu-img: apt-get install qemu-utils")
	}
	if out, err := exec.CommandContext(t.Context(), img, "convert", "-f", "raw", "-O", "qcow2", "-c", raw, qcow2).CombinedOutput(); err != nil {
		t.Fatalf("qemu-img: %v\n%s", err, out)
	}
	for _, drive := range []string{
		fmt.Sprintf("file=%s,format=raw,if=ide", raw),
		fmt.Sprintf("file=%s,format=qcow2,if=virtio", qcow2),
	} {
		if out := boot(t, drive); !bytes.Contains(out, []byte("\r\n"+marker+"\r\n")) {
			t.Errorf("%s: no %q in\n%s", drive, marker, out)
		}
	}
}

// One flipped bit anywhere in the payload must be seen.
func TestSeesDamage(t *testing.T) {
	raw, _ := image(t, 43)
	f, err := os.OpenFile(raw, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	const at = guest.MinSize - 1
	if _, err := f.ReadAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	out := boot(t, "file="+raw+",format=raw,if=ide")
	if !bytes.Contains(out, []byte("HX-BOOT-BAD sum=")) || bytes.Contains(out, []byte("HX-BOOT-OK")) {
		t.Errorf("a damaged payload: %s", out)
	}
}

func TestIsDeterministic(t *testing.T) {
	a, markerA := image(t, 7)
	b, markerB := image(t, 7)
	c, markerC := image(t, 8)
	read := func(path string) []byte {
		p, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if !bytes.Equal(read(a), read(b)) || markerA != markerB {
		t.Error("one seed, two disks")
	}
	if bytes.Equal(read(a), read(c)) || markerA == markerC {
		t.Error("two seeds, one disk")
	}
	if _, err := guest.Write(nil, guest.MinSize-1, 1); err == nil {
		t.Error("a disk that is too small was accepted")
	}
}

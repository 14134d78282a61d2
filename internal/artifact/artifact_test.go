package artifact

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

const size = 9<<20 + 512

func content() []byte {
	rng := rand.New(rand.NewPCG(1, 2))
	p := make([]byte, size)
	for i := range p {
		if i>>20%3 != 1 { // every third MiB is a hole
			p[i] = byte(rng.UintN(16))
		}
	}
	return p
}

// export writes an export of one disk as the engine does.
func export(t *testing.T, format string) (folder string, pub ed25519.PublicKey) {
	t.Helper()
	folder = t.TempDir()
	name := "vm-disk1." + format
	obj, err := dir.CreateFile(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if format == "ova" {
		return exportOVA(t, folder, name, obj)
	}
	target, err := NewTarget(obj, format, TargetOptions{Size: size})
	if err != nil {
		t.Fatal(err)
	}
	res, err := disk.Copy(t.Context(), target, disk.NewRawSource(bytes.NewReader(content()), disk.Info{Size: size}), disk.CopyOptions{})
	if err := errors.Join(err, obj.Publish()); err != nil {
		t.Fatal(err)
	}
	f, err := OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	sum, n, err := HashFile(t.Context(), f, name)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	if format == "raw" {
		sum = ""
	}
	file := receipt.File{Name: name, Size: n, SHA256: sum}
	pub, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	text, err := receipt.Sign(&receipt.Receipt{
		Version: receipt.Version, JobID: "j", Format: format, Started: time.Unix(1, 0), Finished: time.Unix(2, 0),
		Disks: []receipt.Disk{{Key: "2000", Name: "Hard disk 1", File: name, Size: size, Root: receipt.Root(res.Root), RangeSize: res.RangeSize, Ranges: res.Ranges}},
		Files: []receipt.File{file},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, receipt.FileName), text, 0o600); err != nil {
		t.Fatal(err)
	}
	return folder, pub
}

func TestAnExportAgreesWithItsReceipt(t *testing.T) {
	for _, format := range []string{"raw", "vmdk", "qcow2", "ova"} {
		folder, pub := export(t, format)
		for _, path := range []string{folder, filepath.Join(folder, receipt.FileName)} {
			rep, err := Verify(t.Context(), path, pub, nil)
			if err != nil || !rep.OK() || !rep.Trusted {
				t.Fatalf("%s: %+v %v", format, rep, err)
			}
		}
	}
}

// TestEveryFlipIsFound changes one byte anywhere in the image.
func TestEveryFlipIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, format := range []string{"raw", "vmdk", "qcow2", "ova"} {
		folder, _ := export(t, format)
		path := filepath.Join(folder, "vm-disk1."+format)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for range 25 {
			bad := bytes.Clone(good)
			at := rng.IntN(len(bad))
			bad[at] ^= byte(1 << rng.IntN(8))
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			rep, err := Verify(t.Context(), folder, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			if rep.OK() {
				t.Fatalf("%s: a flip at %d of %d was not seen", format, at, len(bad))
			}
			if format == "raw" {
				d := rep.Disks[0].Differences
				if len(d) != 1 || int64(at) < d[0].Offset || int64(at) >= d[0].Offset+d[0].Length || d[0].Length > 1<<20 {
					t.Fatalf("a flip at %d was located at %+v", at, d)
				}
			}
		}
	}
}

func TestWhatIsMissingOrForeignIsNamed(t *testing.T) {
	folder, _ := export(t, "qcow2")
	other, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Verify(t.Context(), folder, other, nil); !fault.Is(err, fault.Denied) {
		t.Fatalf("another key: %v", err)
	}
	if err := os.Rename(filepath.Join(folder, "vm-disk1.qcow2"), filepath.Join(folder, "elsewhere")); err != nil {
		t.Fatal(err)
	}
	rep, err := Verify(t.Context(), folder, nil, nil)
	if err != nil || rep.OK() || !strings.Contains(rep.Files[0].Problem, "missing") {
		t.Fatalf("%+v %v", rep, err)
	}
	if err := os.Symlink("/etc/passwd", filepath.Join(folder, "vm-disk1.qcow2")); err != nil {
		t.Fatal(err)
	}
	if rep, err := Verify(t.Context(), folder, nil, nil); err != nil || rep.OK() {
		t.Fatalf("a link out of the folder: %+v %v", rep, err)
	}
	if _, err := Verify(t.Context(), t.TempDir(), nil, nil); !fault.Is(err, fault.NotFound) {
		t.Fatalf("no receipt: %v", err)
	}
}

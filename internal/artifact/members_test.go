package artifact

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/receipt"
	"github.com/hypersdk/hypersdk/internal/sink/dir"
)

// exportOVA writes an OVA as the engine does that reads nothing back: without the
// SHA-256 of the whole file.
func exportOVA(t *testing.T, folder, name string, obj *dir.File) (string, ed25519.PublicKey) {
	t.Helper()
	m := ova.Machine{Stem: "vm", Name: "vm", GuestID: "debian12_64Guest", GuestName: "Debian", Hardware: "vmx-19", CPUs: 1, MemoryMB: 512,
		Firmware: "bios", Time: time.Unix(1, 0), Disks: []ova.Disk{{Controller: "pvscsi", Capacity: size}}}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
	}
	w, err := ova.NewWriter(obj, &m)
	must(err)
	member, err := w.Disk()
	must(err)
	target, err := vmdk.NewTarget(member, vmdk.TargetOptions{Size: size})
	must(err)
	res, err := disk.Copy(t.Context(), target, disk.NewRawSource(bytes.NewReader(content()), disk.Info{Size: size}), disk.CopyOptions{})
	must(err)
	sum, n := target.Sum()
	must(member.Close(ova.Content{Size: n, SHA256: hex.EncodeToString(sum[:])}))
	_, err = w.Finish(t.Context(), []byte("nvram"))
	made, err2 := w.Layout([]byte("nvram"))
	must(errors.Join(err, err2, obj.Publish()))
	file := receipt.File{Name: name, Size: made.Size, Frame: made.Frame}
	for _, p := range made.Members {
		file.Members = append(file.Members, receipt.Member{Name: p.Name, Offset: p.Offset, Size: p.Size, SHA256: p.SHA256})
	}
	pub, key, err := ed25519.GenerateKey(nil)
	must(err)
	text, err := receipt.Sign(&receipt.Receipt{Version: receipt.Version, Format: "ova", Files: []receipt.File{file}, Disks: []receipt.Disk{{
		Key: "2000", Name: "Hard disk 1", File: name, Member: file.Members[1].Name, Size: size, Root: receipt.Root(res.Root), RangeSize: res.RangeSize, Ranges: res.Ranges,
	}}}, key)
	must(err)
	must(os.WriteFile(filepath.Join(folder, receipt.FileName), text, 0o600))
	return folder, pub
}

// TestEveryFlipInAnArchiveIsFound changes one bit of each byte that is not the
// content of the disk, and bytes at both of its ends: headers, padding, the
// descriptor, the manifest, the end mark. The disks and the manifest are not
// looked at, so that it is the members and the frame that find it.
func TestEveryFlipInAnArchiveIsFound(t *testing.T) {
	folder, _ := export(t, "ova")
	f, err := OpenFolder(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	text, err := f.receipt()
	if err != nil {
		t.Fatal(err)
	}
	r, _, err := receipt.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	file := &r.Files[0]
	good, err := os.ReadFile(filepath.Join(folder, file.Name))
	if err != nil {
		t.Fatal(err)
	}
	check := func(p []byte) error {
		_, err := checkMembers(t.Context(), memory{bytes.NewReader(p)}, file)
		return err
	}
	if err := check(good); err != nil {
		t.Fatal(err)
	}
	d := file.Members[1]
	small := bytes.Clone(good) // a disk of a few bytes, so that the test is quick
	small = append(small[:d.Offset+64], small[d.Offset+d.Size-64:]...)
	cut := d.Size - 128
	file.Size -= cut
	file.Members[1].Size = 128
	sum := sha256.Sum256(small[d.Offset : d.Offset+128])
	file.Members[1].SHA256 = hex.EncodeToString(sum[:])
	for i := range file.Members[2:] {
		file.Members[2+i].Offset -= cut
	}
	if err := check(small); err != nil {
		t.Fatal(err)
	}
	for at := range small {
		small[at] ^= byte(1 << (at % 8))
		if err := check(small); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("a flip at %d was not seen: %v", at, err)
		}
		small[at] ^= byte(1 << (at % 8))
	}
}

// TestImpossibleMembers: a receipt that does not cover every byte proves nothing.
func TestImpossibleMembers(t *testing.T) {
	const some = "00"
	for name, f := range map[string]receipt.File{
		"no frame":          {Size: 4096, Members: []receipt.Member{{Offset: 512, Size: 1, SHA256: some}}},
		"no hash":           {Size: 4096, Frame: some, Members: []receipt.Member{{Offset: 512, Size: 1}}},
		"overlap":           {Size: 4096, Frame: some, Members: []receipt.Member{{Offset: 512, Size: 600, SHA256: some}, {Offset: 1024, Size: 1, SHA256: some}}},
		"beyond the end":    {Size: 4096, Frame: some, Members: []receipt.Member{{Offset: 512, Size: 1 << 62, SHA256: some}}},
		"negative":          {Size: 4096, Frame: some, Members: []receipt.Member{{Offset: 512, Size: -1, SHA256: some}}},
		"before the start":  {Size: 4096, Frame: some, Members: []receipt.Member{{Offset: -512, Size: 1, SHA256: some}}},
		"up to the end":     {Size: 4096, Frame: some, Members: []receipt.Member{{Offset: 512, Size: 3584, SHA256: some}}},
		"of another length": {Size: 4097, Frame: some, Members: []receipt.Member{{Offset: 512, Size: 1, SHA256: some}}},
	} {
		if _, err := checkMembers(t.Context(), memory{bytes.NewReader(make([]byte, 4096))}, &f); !fault.Is(err, fault.Corrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// memory is a file in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error { return nil }

package interop_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/ova"
	"github.com/hypersdk/hypersdk/internal/disk/vmdk"
)

// export is the way of an export step, over files: raw disks are copied by
// disk.Copy into VMDK targets that write into an archive.
type export struct {
	machine ova.Machine
	raw     []string
	file    *os.File
	writer  *ova.Writer
}

// newExport makes raw disks of the given sizes, a third of each data.
func newExport(t *testing.T, sizes ...int64) *export {
	t.Helper()
	e := &export{machine: ova.Machine{Stem: "vm", Name: "vm", GuestID: "debian12_64Guest", CPUs: 2, MemoryMB: 2048}}
	dir := t.TempDir()
	for i, size := range sizes {
		name := filepath.Join(dir, fmt.Sprintf("%d.raw", i))
		data := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(data[size/3 : size/3*2])
		must(t, os.WriteFile(name, data, 0o600))
		e.raw = append(e.raw, name)
		e.machine.Disks = append(e.machine.Disks, ova.Disk{Controller: "pvscsi", Unit: int32(i), Capacity: size})
	}
	f, err := os.Create(filepath.Join(dir, "vm.ova"))
	must(t, err)
	t.Cleanup(func() { _ = f.Close() })
	e.file = f
	return e
}

func (e *export) begin(t *testing.T) {
	t.Helper()
	var err error
	e.writer, err = ova.NewWriter(e.file, &e.machine)
	must(t, err)
}

// checkpoint is what an export step stores of a disk in the middle.
type checkpoint struct {
	last    *disk.Checkpoint
	records [][]byte
}

var errKilled = errors.New("killed")

// copyDisk copies the next disk. With a checkpoint it goes on from there, or, if
// there is none yet, is killed at the first one.
func (e *export) copyDisk(t *testing.T, c *checkpoint) {
	t.Helper()
	i := e.writer.Done()
	content, err := e.writer.Disk()
	must(t, err)
	target, err := vmdk.NewTarget(content, vmdk.TargetOptions{Size: e.machine.Disks[i].Capacity})
	must(t, err)
	raw, err := os.Open(e.raw[i])
	must(t, err)
	defer raw.Close()
	o := disk.CopyOptions{}
	if c != nil {
		killed := c.last == nil
		must(t, target.Replay(c.records))
		o.Resume = c.last
		o.Checkpoint = func(_ context.Context, p disk.Checkpoint, record []byte) error {
			if !killed {
				return nil
			}
			c.last, c.records = &p, append(c.records, record)
			return errKilled
		}
	}
	src := disk.NewRawSource(raw, disk.Info{Size: e.machine.Disks[i].Capacity})
	if _, err = disk.Copy(t.Context(), target, src, o); errors.Is(err, errKilled) {
		return
	}
	must(t, err)
	sum, size := target.Sum()
	must(t, content.Close(ova.Content{Size: size, SHA256: hex.EncodeToString(sum[:])}))
}

func (e *export) finish(t *testing.T) {
	t.Helper()
	_, err := e.writer.Finish(t.Context(), []byte("nvram"))
	must(t, err)
}

// check verifies the manifest, and lets qemu-img compare each disk, where it
// lies in the archive, with its source; and our reader, too.
func (e *export) check(t *testing.T) {
	t.Helper()
	info, err := e.file.Stat()
	must(t, err)
	p, err := ova.OpenOVA(e.file, info.Size())
	must(t, err)
	must(t, p.Verify(t.Context()))
	for i, d := range p.Disks {
		_, off, size := d.Content.Outer()
		image := fmt.Sprintf(`json:{"driver":"vmdk","file":{"driver":"raw","offset":%d,"size":%d,"file":{"driver":"file","filename":%q}}}`, off, size, e.file.Name())
		out, err := exec.Command("qemu-img", "compare", "-f", "raw", e.raw[i], image).CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("Images are identical")) {
			t.Errorf("disk %d: %v: %s (qemu-img missing: apt-get install qemu-utils)", i, err, out)
		}
		src, err := vmdk.Open(d.Content, d.Content.Size(), vmdk.OpenOptions{})
		must(t, err)
		got, err := disk.Measure(t.Context(), src, nil)
		must(t, err)
		raw, err := os.Open(e.raw[i])
		must(t, err)
		defer raw.Close()
		want, err := disk.Measure(t.Context(), disk.NewRawSource(raw, disk.Info{Size: d.Capacity}), nil)
		must(t, err)
		if got.Root != want.Root {
			t.Errorf("disk %d: root %x, source %x", i, got.Root, want.Root)
		}
	}
}

// TestVMDKInArchive writes three disks of odd sizes, with our VMDK target, and
// lets all readers judge.
func TestVMDKInArchive(t *testing.T) {
	e := newExport(t, 3<<20, 1<<20+512, 64<<10)
	e.begin(t)
	for e.writer.Done() < 3 {
		e.copyDisk(t, nil)
	}
	e.finish(t)
	e.check(t)
	out, err := exec.Command("virt-v2v", "-i", "ova", e.file.Name(), "--print-source").CombinedOutput()
	if err != nil || strings.Count(string(out), "[scsi]") != 3 {
		t.Errorf("%v: %s (virt-v2v missing: apt-get install --no-install-recommends virt-v2v)", err, out)
	}
}

// TestVMDKResumed kills the export in the middle of the second disk and goes
// on from the stored states of archive and disk: the same bytes come out.
func TestVMDKResumed(t *testing.T) {
	const size = 3 * disk.CheckpointBytes
	e := newExport(t, 1<<20, size)
	e.begin(t)
	e.copyDisk(t, nil)
	e.copyDisk(t, nil)
	e.finish(t)
	whole, err := os.ReadFile(e.file.Name())
	must(t, err)

	must(t, e.file.Truncate(0))
	e.begin(t)
	e.copyDisk(t, nil)
	saved, err := e.writer.State()
	must(t, err)
	c := &checkpoint{}
	e.copyDisk(t, c)
	if c.last == nil || c.last.Offset <= 0 || c.last.Offset >= size {
		t.Fatalf("killed at %+v", c.last)
	}
	if e.writer, err = ova.Restore(e.file, saved); err != nil {
		t.Fatal(err)
	}
	e.copyDisk(t, c)
	e.finish(t)
	resumed, err := os.ReadFile(e.file.Name())
	must(t, err)
	if !bytes.Equal(whole, resumed) {
		t.Errorf("%d bytes, %d without the kill", len(resumed), len(whole))
	}
	e.check(t)
}

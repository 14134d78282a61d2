package ova

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// memory is an object that dies after a number of writes, the last one torn,
// and keeps nothing that a crash would not keep for sure: what was written
// after the last Sync turns to noise.
type memory struct {
	data   []byte
	synced []byte
	left   int // operations until the crash; negative: never
}

var errCrash = errors.New("power cut")

func (m *memory) step() bool { m.left--; return m.left != -1 }

func (m *memory) grow(n int64) {
	if n > int64(len(m.data)) {
		m.data = append(m.data, make([]byte, n-int64(len(m.data)))...)
	}
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	alive := m.step()
	if !alive {
		p = p[:len(p)/2]
	}
	m.grow(off + int64(len(p)))
	copy(m.data[off:], p)
	if !alive {
		return len(p), errCrash
	}
	return len(p), nil
}

func (m *memory) Truncate(size int64) error {
	if !m.step() {
		return errCrash
	}
	m.grow(size)
	m.data = m.data[:size]
	return nil
}

func (m *memory) Sync() error {
	if !m.step() {
		return errCrash
	}
	m.synced = bytes.Clone(m.data)
	return nil
}

// crash returns what may be found afterwards: synced content, and noise where
// anything was written after it.
func (m *memory) crash(seed uint64) *memory {
	n := max(len(m.data), len(m.synced))
	after := &memory{data: make([]byte, n), left: -1}
	copy(after.data, m.synced)
	bad := noise(seed, n)
	for i := range n {
		switch {
		case i >= len(m.synced):
			after.data[i] = bad[i]
		case i < len(m.data) && m.data[i] != m.synced[i]:
			after.data[i] = bad[i]
		}
	}
	after.synced = bytes.Clone(after.data)
	return after
}

// copyDisk is a resumable target in small: it truncates to what its mark says
// and goes on from there, syncing and marking after each piece.
func copyDisk(d *DiskWriter, content []byte, marked *int64) error {
	if err := d.Truncate(*marked); err != nil {
		return err
	}
	for *marked < int64(len(content)) {
		piece := content[*marked:min(*marked+1500, int64(len(content)))]
		if _, err := d.WriteAt(piece, *marked); err != nil {
			return err
		}
		if err := d.Sync(); err != nil {
			return err
		}
		*marked += int64(len(piece))
	}
	return d.Close(contentOf(content))
}

// attempt runs an export from a state to its end, or to the crash.
func attempt(w *Writer, disks [][]byte, nvram []byte, saved *[]byte, marked *int64) error {
	for w.Done() < len(disks) {
		d, err := w.Disk()
		if err != nil {
			return err
		}
		if err := copyDisk(d, disks[w.Done()], marked); err != nil {
			return err
		}
		if *saved, err = w.State(); err != nil {
			return err
		}
		*marked = 0
	}
	_, err := w.Finish(context.Background(), nvram)
	return err
}

// TestCrashAnywhere cuts the power at every operation, with all that was not
// synced turned to noise, and goes on from the last stored state: the archive
// comes out byte for byte as without the crash.
func TestCrashAnywhere(t *testing.T) {
	disks := [][]byte{noise(1, 4000), noise(2, 0), noise(3, 1537)}
	nvram := noise(4, 600)
	whole := &memory{left: -1}
	var saved []byte
	var marked int64
	must(t, attempt(must1(NewWriter(whole, testMachine(3)))(t), disks, nvram, &saved, &marked))
	operations := -1 - whole.left

	for crashAt := range operations {
		obj := &memory{left: crashAt}
		w := must1(NewWriter(obj, testMachine(3)))(t)
		saved = must1(w.State())(t)
		marked = 0
		if err := attempt(w, disks, nvram, &saved, &marked); !errors.Is(err, errCrash) {
			t.Fatalf("crash %d: %v", crashAt, err)
		}
		if crashAt < operations-2 {
			if _, err := OpenOVA(bytes.NewReader(obj.data), int64(len(obj.data))); err == nil {
				t.Fatalf("crash %d left an archive that looks whole", crashAt)
			}
		}
		obj = obj.crash(uint64(crashAt))
		w = must1(Restore(obj, saved))(t)
		if err := attempt(w, disks, nvram, &saved, &marked); err != nil {
			t.Fatalf("crash %d: %v", crashAt, err)
		}
		if !bytes.Equal(obj.data, whole.data) {
			t.Fatalf("crash %d: another archive came out", crashAt)
		}
	}
	t.Logf("%d crashes", operations)
}

// TestFinishTwice: a crash after Finish, before it was recorded.
func TestFinishTwice(t *testing.T) {
	obj := &memory{left: -1}
	w := must1(NewWriter(obj, testMachine(1)))(t)
	writeDisks(t, w, [][]byte{noise(1, 3000)})
	first := must1(w.Finish(t.Context(), noise(2, 5000)))(t)
	before := bytes.Clone(obj.data)
	again := must1(must1(Restore(obj, must1(w.State())(t)))(t).Finish(t.Context(), noise(2, 5000)))(t)
	if !bytes.Equal(before, obj.data) || len(first) != 3 || len(again) != 3 {
		t.Errorf("%v and %v", first, again)
	}
	// The variable store may have changed meanwhile.
	must1(must1(Restore(obj, must1(w.State())(t)))(t).Finish(t.Context(), nil))(t)
	p := must1(OpenOVA(bytes.NewReader(obj.data), int64(len(obj.data))))(t)
	must(t, p.Verify(t.Context()))
	if len(p.Files) != 3 {
		t.Errorf("files %v", p.Files)
	}
}

// TestSlotIsPatchedLast: nothing is at offset 0 before Finish.
func TestSlotIsPatchedLast(t *testing.T) {
	obj := &memory{left: -1}
	w := must1(NewWriter(obj, testMachine(1)))(t)
	if len(obj.data) != 0 {
		t.Error("NewWriter writes")
	}
	writeDisks(t, w, [][]byte{noise(1, 3000)})
	if head := obj.data[:w.slot+tarBlock]; len(bytes.Trim(head, "\x00")) != 0 {
		t.Error("the head is written before the end")
	}
	must1(w.Finish(t.Context(), nil))(t)
	slot := obj.data[tarBlock : tarBlock+w.slot]
	if end := bytes.TrimRight(slot, " \n"); !bytes.HasSuffix(end, []byte("</Envelope>")) || slot[len(slot)-1] != '\n' {
		t.Errorf("the slot ends with %q", slot[len(slot)-100:])
	}
}

// TestWriterMisuse: calls out of order are defects and said to be.
func TestWriterMisuse(t *testing.T) {
	obj := &memory{left: -1}
	w := must1(NewWriter(obj, testMachine(1)))(t)
	_, err := w.Finish(t.Context(), nil)
	wantFault(t, err, fault.Internal, codeSequence)
	d := must1(w.Disk())(t)
	_, err = w.Disk()
	wantFault(t, err, fault.Internal, codeSequence)
	_, err = w.Finish(t.Context(), nil)
	wantFault(t, err, fault.Internal, codeSequence)
	_, err = d.WriteAt([]byte("x"), -1)
	wantFault(t, err, fault.Internal, codeSequence)
	_, err = d.WriteAt([]byte("x"), maxFile)
	wantFault(t, err, fault.Internal, codeSequence)
	wantFault(t, d.Truncate(-1), fault.Internal, codeSequence)
	wantFault(t, d.Close(Content{Size: -1, SHA256: strings.Repeat("0", 64)}), fault.Internal, codeSequence)
	wantFault(t, d.Close(Content{Size: 1}), fault.Internal, codeSequence)
	must(t, d.Close(contentOf(nil)))
	_, err = d.WriteAt(nil, 0)
	wantFault(t, err, fault.Internal, codeSequence)
	wantFault(t, d.Sync(), fault.Internal, codeSequence)
	wantFault(t, d.Close(contentOf(nil)), fault.Internal, codeSequence)
	_, err = w.Disk()
	wantFault(t, err, fault.Internal, codeSequence)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = w.Finish(ctx, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Finish after a cancel: %v", err)
	}
}

// TestWriterKeepsItsMachine: later changes of the caller's do not reach it.
func TestWriterKeepsItsMachine(t *testing.T) {
	m := testMachine(1)
	m.Disks[0].VMDK = contentOf(noise(7, 10))
	w := must1(NewWriter(&memory{left: -1}, m))(t)
	m.Disks[0].Capacity = 1
	got := w.Machine()
	if got.Disks[0].Capacity != 1<<20 || got.Disks[0].VMDK != (Content{}) {
		t.Errorf("%+v", got.Disks[0])
	}
	got.Disks[0].Capacity = 2
	if w.Machine().Disks[0].Capacity != 1<<20 {
		t.Error("Machine hands out its own slices")
	}
}

// TestRestoreRefuses states that cannot be of this program.
func TestRestoreRefuses(t *testing.T) {
	w := must1(NewWriter(&memory{left: -1}, testMachine(2)))(t)
	writeDisks(t, w, [][]byte{noise(1, 10)})
	good := must1(w.State())(t)
	if r := must1(Restore(w.obj, good))(t); r.Done() != 1 || r.next != w.next || r.slot != w.slot {
		t.Errorf("restored %+v, saved %+v", r, w)
	}
	cases := map[string]func(*state){
		"version":       func(s *state) { s.Version++ },
		"no slot":       func(s *state) { s.Slot = 0 },
		"huge slot":     func(s *state) { s.Slot = 1 << 40 },
		"negative done": func(s *state) { s.Done = -1 },
		"done":          func(s *state) { s.Done = 3 },
		"negative size": func(s *state) { s.Machine.Disks[0].VMDK.Size = -1 },
		"huge size":     func(s *state) { s.Machine.Disks[0].VMDK.Size = maxFile },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			var s state
			must(t, json.Unmarshal(good, &s))
			change(&s)
			_, err := Restore(w.obj, must1(json.Marshal(s))(t))
			wantFault(t, err, fault.Conflict, codeState)
		})
	}
	_, err := Restore(w.obj, []byte("{"))
	wantFault(t, err, fault.Conflict, codeState)

	// A slot that a former program kept too small.
	var s state
	must(t, json.Unmarshal(good, &s))
	s.Slot, s.Done, s.Machine.Disks = 600, 0, nil
	_, err = must1(Restore(w.obj, must1(json.Marshal(s))(t)))(t).Finish(t.Context(), nil)
	wantFault(t, err, fault.Conflict, codeState)
}

// TestFileObject: the same over a file, which reads back through Package.
func TestFileObject(t *testing.T) {
	disks := [][]byte{noise(1, 100000), noise(2, 1)}
	f := createFile(t, filepath.Join(t.TempDir(), "x.ova"))
	w := must1(NewWriter(f, testMachine(2)))(t)
	writeDisks(t, w, disks)
	files := must1(w.Finish(t.Context(), nil))(t)
	p := must1(OpenOVA(f, must1(f.Stat())(t).Size()))(t)
	must(t, p.Verify(t.Context()))
	for i, d := range p.Disks {
		if got := must1(io.ReadAll(d.Content))(t); !bytes.Equal(got, disks[i]) || d.Capacity != int64(i+1)<<20 || d.File != files[i+1].Name {
			t.Errorf("disk %d: %+v", i, d)
		}
	}
	if p.Name != "web-01" || files[0].Name != "web-01.ovf" || files[0].Size != w.slot {
		t.Errorf("%+v", files)
	}
}

// TestWriteErrors: every failing operation of the object comes back.
func TestWriteErrors(t *testing.T) {
	for i := range 8 {
		obj := &memory{left: i}
		w := must1(NewWriter(obj, testMachine(1)))(t)
		var saved []byte
		var marked int64
		if err := attempt(w, [][]byte{noise(1, 10)}, []byte{1}, &saved, &marked); !errors.Is(err, errCrash) {
			t.Errorf("operation %d: %v", i, err)
		}
	}
}

// TestFolder writes a package as files and reads it back through an os.Root.
func TestFolder(t *testing.T) {
	dir, disk, nvram := t.TempDir(), noise(1, 5000), noise(2, 300)
	m := testMachine(1)
	m.Disks[0].VMDK = contentOf(disk)
	descriptor, manifest, err := Describe(m, nvram)
	must(t, err)
	for name, data := range map[string][]byte{
		m.DescriptorFile(): descriptor, m.ManifestFile(): manifest, m.DiskFile(0): disk, m.NVRAMFile(): nvram, "receipt.json": []byte("{}"),
	} {
		must(t, os.WriteFile(filepath.Join(dir, name), data, 0o600))
	}
	root := must1(os.OpenRoot(dir))(t)
	defer root.Close()
	p := must1(OpenFolder(root.FS()))(t)
	defer p.Close()
	must(t, p.Verify(t.Context()))
	if got := must1(io.ReadAll(p.Disks[0].Content))(t); !bytes.Equal(got, disk) || len(p.Files) != 4 || !p.Manifest {
		t.Errorf("%+v", p)
	}
	must(t, p.Close())
	must(t, p.Close())
	if _, err := p.Disks[0].Content.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("Close leaves files open")
	}
	if out := tool(t, "virt-v2v", "virt-v2v", "-i", "ova", dir, "--print-source"); !strings.Contains(out, "source name: web-01") {
		t.Errorf("virt-v2v: %s", out)
	}
}

// TestCloseCuts: what a target wrote beyond the size that it reports is gone,
// also from the padding.
func TestCloseCuts(t *testing.T) {
	obj := &memory{left: -1}
	w := must1(NewWriter(obj, testMachine(1)))(t)
	d := must1(w.Disk())(t)
	data := noise(1, 3000)
	must1(d.WriteAt(data, 0))(t)
	must(t, d.Close(contentOf(data[:100])))
	if rest := obj.data[d.base+100:]; len(rest) != tarBlock-100 || len(bytes.Trim(rest, "\x00")) > 0 {
		t.Errorf("%d bytes of padding: %x", len(rest), rest)
	}
}

// TestSlotHoldsTheLargest sizes, of as many disks as a package takes.
func TestSlotHoldsTheLargest(t *testing.T) {
	m := testMachine(maxMembers - 3)
	slot := m.slotSize()
	for i := range m.Disks {
		m.Disks[i].VMDK = Content{Size: maxFile, Populated: 1 << 62, SHA256: strings.Repeat("0", 64)}
	}
	if n := int64(len(m.descriptor(m.nvram([]byte{1})))); n > slot {
		t.Errorf("%d bytes do not fit into %d", n, slot)
	}
}

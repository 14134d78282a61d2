package ova

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestGNUTarReadsArchive lets GNU tar list and extract an archive, sha256sum
// check what came out, and compares the manifest with what it prints.
func TestGNUTarReadsArchive(t *testing.T) {
	m := testMachine(3)
	nvram := noise(9, 74232)
	name := writeOVA(t, m, nvram, noise(1, 1000), noise(2, 0), noise(3, 512*7))

	list := strings.Fields(tool(t, "tar", "tar", "-tf", name))
	want := []string{"web-01.ovf", "web-01-disk1.vmdk", "web-01-disk2.vmdk", "web-01-disk3.vmdk", "web-01.nvram", "web-01.mf"}
	if fmt.Sprint(list) != fmt.Sprint(want) {
		t.Fatalf("tar lists %q", list)
	}
	long := tool(t, "tar", "tar", "--numeric-owner", "-tvf", name)
	if !strings.Contains(long, "-rw-r--r-- 0/0            1000 2026-03-14 15:09 web-01-disk1.vmdk") {
		t.Errorf("mode, owner, size or time of a member:\n%s", long)
	}

	dir := t.TempDir()
	if out := tool(t, "tar", "tar", "-xf", name, "-C", dir); out != "" {
		t.Errorf("tar is not happy: %s", out)
	}
	var sums strings.Builder
	for _, f := range want[:5] {
		out := tool(t, "coreutils", "sha256sum", filepath.Join(dir, f))
		sums.WriteString("SHA256(" + f + ")= " + strings.Fields(out)[0] + "\n")
	}
	if got := string(must1(os.ReadFile(filepath.Join(dir, "web-01.mf")))(t)); got != sums.String() {
		t.Errorf("manifest:\n%s\nsha256sum:\n%s", got, sums.String())
	}
}

// TestArchiveTarReadsArchive checks every header by Go's reader, and that the
// archive ends where it must.
func TestArchiveTarReadsArchive(t *testing.T) {
	disks := [][]byte{noise(1, 65537), noise(2, 512)}
	name := writeOVA(t, testMachine(2), nil, disks...)
	f := must1(os.Open(name))(t)
	defer f.Close()
	r := tar.NewReader(f)
	for i := 0; ; i++ {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			if i != 4 {
				t.Fatalf("%d members", i)
			}
			break
		}
		must(t, err)
		if h.Format != tar.FormatUSTAR || h.Typeflag != tar.TypeReg || h.Mode != 0o644 || h.Uid != 0 || h.Gid != 0 || !h.ModTime.Equal(frozen) {
			t.Errorf("header %+v", h)
		}
		if data := must1(io.ReadAll(r))(t); i == 1 || i == 2 {
			if string(data) != string(disks[i-1]) {
				t.Errorf("%s differs", h.Name)
			}
		}
	}
	if size := must1(f.Stat())(t).Size(); size%tarBlock != 0 {
		t.Errorf("the archive has %d bytes", size)
	}
}

// TestLargeMembers proves the sizes from 8 GiB on with sparse files: GNU tar
// lists them and finds the manifest behind them; so do archive/tar and OpenOVA.
func TestLargeMembers(t *testing.T) {
	const gib = 1 << 30
	for _, size := range []int64{8*gib - 1, 8 * gib, 9*gib + 513, 3 << 40} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "big.ova")
			f := createFile(t, name)
			w := must1(NewWriter(f, testMachine(2)))(t)
			d := must1(w.Disk())(t)
			must1(d.WriteAt([]byte("end"), size-3))(t)
			must(t, d.Close(Content{Size: size, SHA256: strings.Repeat("0", 64)}))
			small := noise(4, 700)
			d = must1(w.Disk())(t)
			must1(d.WriteAt(small, 0))(t)
			must(t, d.Close(contentOf(small)))
			must1(w.Finish(t.Context(), nil))(t)

			list := tool(t, "tar", "tar", "-tvf", name)
			if !strings.Contains(list, fmt.Sprintf(" %d 2026-03-14 15:09 web-01-disk1.vmdk", size)) || strings.Count(list, "\n") != 4 {
				t.Errorf("tar lists\n%s", list)
			}
			p := must1(OpenOVA(f, must1(f.Stat())(t).Size()))(t)
			if got := p.Disks[0].Content.Size(); got != size {
				t.Errorf("%d bytes, want %d", got, size)
			}
			end := make([]byte, 3)
			must1(p.Disks[0].Content.ReadAt(end, size-3))(t)
			if string(end) != "end" {
				t.Errorf("the member ends with %q", end)
			}
			if got := must1(io.ReadAll(p.Disks[1].Content))(t); string(got) != string(small) {
				t.Error("the member behind the large one differs")
			}
			h := must1(headers(f))(t)[1]
			if wantFormat := map[bool]tar.Format{true: tar.FormatGNU, false: tar.FormatUSTAR}[size >= 8*gib]; h.Format != wantFormat {
				t.Errorf("format %v, want %v", h.Format, wantFormat)
			}
		})
	}
}

func headers(r io.ReadSeeker) ([]*tar.Header, error) {
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	var all []*tar.Header
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, h)
	}
}

// TestQEMUReadsDisks hands the disks, where they lie in the archive, to
// qemu-img.
func TestQEMUReadsDisks(t *testing.T) {
	a, rawA := realVMDK(t, 1, 3<<20)
	b, rawB := realVMDK(t, 2, 1<<20+512)
	m := testMachine(2)
	m.Disks[0].Capacity, m.Disks[1].Capacity = 3<<20, 1<<20+512
	name := writeOVA(t, m, nil, a, b)
	p := must1(openOVA(t, name))(t)
	for i, raw := range []string{rawA, rawB} {
		_, off, size := p.Disks[i].Content.Outer()
		image := fmt.Sprintf(`json:{"driver":"vmdk","file":{"driver":"raw","offset":%d,"size":%d,"file":{"driver":"file","filename":%q}}}`, off, size, name)
		if out := tool(t, "qemu-utils", "qemu-img", "compare", "-f", "raw", raw, image); !strings.Contains(out, "Images are identical") {
			t.Errorf("disk %d: %s", i, out)
		}
	}
}

// TestVirtV2V lets virt-v2v read the descriptor, find the disks and check the
// manifest, in archives and in folders; and it must refuse a changed disk.
func TestVirtV2V(t *testing.T) {
	disk, _ := realVMDK(t, 1, 1<<20)
	second, _ := realVMDK(t, 2, 1<<20)
	m := testMachine(2)
	m.Name, m.Firmware, m.Cores = "web <01> & \"Söhne\"", "efi", 2
	m.Disks[1].Controller = "sata"
	m.Disks[1].Unit = 3
	name := writeOVA(t, m, noise(9, 1000), disk, second)

	out := tool(t, "virt-v2v", "virt-v2v", "-i", "ova", name, "--print-source")
	for _, want := range []string{
		`source name: web <01> & "Söhne"`, "memory: 2147483648 (bytes)", "nr vCPUs: 2", "firmware: uefi", "CPU topology: sockets: 1 cores/socket: 2",
		"[scsi]", "[sata]", `Bridge "VM Network"`,
	} {
		if !strings.Contains(out, want) {
			t.Errorf("virt-v2v does not say %q:\n%s", want, out)
		}
	}
	if strings.Contains(out, "warning") {
		t.Errorf("virt-v2v warns:\n%s", out)
	}

	data := must1(os.ReadFile(name))(t)
	_, off, _ := must1(openOVA(t, name))(t).Disks[1].Content.Outer()
	data[off+4096] ^= 1
	must(t, os.WriteFile(name, data, 0o600))
	if out, err := tryTool(t, "virt-v2v", "virt-v2v", "-i", "ova", name, "--print-source"); err == nil || !strings.Contains(out, "does not match manifest") {
		t.Errorf("virt-v2v accepts a changed disk: %v\n%s", err, out)
	}
}

package daemon

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/receipt"
)

const efiMarker = "efi guest: unharmed"

// TestBootEFI: a guest whose VM starts by EFI boots from its export, and from what
// was made of that; a VM that starts by BIOS gets one, where the same disk is no
// boot disk.
func TestBootEFI(t *testing.T) {
	if testing.Short() {
		t.Skip("an emulated machine: make race runs this without the race detector")
	}
	disk := vcsim.Disk{Size: efiDisk, Fill: efiGuest}
	p := newPlant(t, vcsim.Options{VMs: []vcsim.VM{{Path: "efi", EFI: true, Disks: []vcsim.Disk{disk}}, {Path: "bios", Disks: []vcsim.Disk{disk}}}}, nil)
	j := p.end(p.submit(`
jobs:
  - {id: e, type: export, vm_path: /DC/vm/efi, format: vmdk}
  - {id: c, type: convert, depends_on: e, input: $e.output, target_format: raw}
  - {id: boot, type: boot, depends_on: c, input: $c.output, marker: "` + efiMarker + `", timeout: 5m}
  - {id: b, type: export, vm_path: /DC/vm/bios, format: raw}
  - {id: other, type: boot, depends_on: [b, boot], input: $b.output, marker: "` + efiMarker + `", timeout: 8s}
`))
	boot := stepOf(j, "boot")
	if boot.Status != "completed" || len(boot.Artifacts) == 0 {
		t.Fatalf("%+v", boot)
	}
	log, err := os.ReadFile(boot.Artifacts[0].Path)
	if err != nil || !strings.Contains(string(log), efiMarker) {
		t.Errorf("%q %v", log, err)
	}
	if other := stepOf(j, "other"); other.Status != "failed" || other.Error.Code != "HX-BOOT-004" {
		t.Errorf("by BIOS: %+v", other)
	}
	text, err := os.ReadFile(filepath.Join(p.cfg.Output.Roots[0], "efi-c", receipt.FileName))
	if err != nil {
		t.Fatal(err)
	}
	if r, _, err := receipt.Open(text); err != nil || r.VM.Firmware != "efi" {
		t.Errorf("the receipt does not tell the firmware: %v", err)
	}
	p.clean()
}

// The layout of the guest's disk, in sectors: one partition with a FAT16.
const (
	sector    = 512
	efiDisk   = 16 << 20
	partBegin = 64
	fatSize   = 128 // of each of the two tables
	rootSize  = 32  // 512 entries
	fatBegin  = partBegin + 1
	rootBegin = fatBegin + 2*fatSize
	dataBegin = rootBegin + rootSize // cluster 2; a cluster is a sector
)

// efiGuest writes a disk that firmware boots as \EFI\BOOT\BOOTX64.EFI.
func efiGuest(w io.WriterAt, size int64) (marker string, err error) {
	app := efiProgram()
	disk := make([]byte, (dataBegin+16)*sector)
	at := func(lba int) []byte { return disk[lba*sector:] }
	le := binary.LittleEndian
	part := at(0)[446:]
	part[4] = 0xef // EFI system partition
	le.PutUint32(part[8:], partBegin)
	le.PutUint32(part[12:], uint32(size/sector)-partBegin)
	copy(at(0)[510:], "\x55\xaa")

	boot := at(partBegin)
	copy(boot, "\xeb\x3c\x90hypersdk")
	le.PutUint16(boot[11:], sector)
	boot[13] = 1                 // sectors of a cluster
	le.PutUint16(boot[14:], 1)   // reserved: this one
	boot[16] = 2                 // tables
	le.PutUint16(boot[17:], 512) // root entries
	boot[21] = 0xf8              // fixed disk
	le.PutUint16(boot[22:], fatSize)
	le.PutUint32(boot[28:], partBegin)
	le.PutUint32(boot[32:], uint32(size/sector)-partBegin)
	copy(boot[36:], "\x80\x00\x29\x01\x02\x03\x04EFI        FAT16   ")
	copy(boot[510:], "\x55\xaa")

	chain := []uint16{0xfff8, 0xffff, 0xffff, 0xffff} // two directories of a cluster each
	for n := range len(app) / sector {
		chain = append(chain, uint16(5+n))
	}
	chain[len(chain)-1] = 0xffff
	for i, next := range chain {
		le.PutUint16(at(fatBegin)[2*i:], next)
		le.PutUint16(at(fatBegin + fatSize)[2*i:], next)
	}
	entry := func(to []byte, name string, attr byte, cluster, size int) []byte {
		copy(to, name)
		to[11] = attr
		le.PutUint16(to[26:], uint16(cluster))
		le.PutUint32(to[28:], uint32(size))
		return to[32:]
	}
	const directory, archive = 0x10, 0x20
	entry(at(rootBegin), "EFI        ", directory, 2, 0)
	below := func(cluster, parent int) []byte {
		return entry(entry(at(dataBegin+cluster-2), ".          ", directory, cluster, 0), "..         ", directory, parent, 0)
	}
	entry(below(2, 0), "BOOT       ", directory, 3, 0)
	entry(below(3, 2), "BOOTX64 EFI", archive, 4, len(app))
	copy(at(dataBegin+2), app)
	_, err = w.WriteAt(disk, 0)
	return efiMarker, err
}

// efiProgram is a PE32+ image that prints the marker on the first serial port and
// halts. Its code does not depend on its address.
func efiProgram() []byte {
	var code bytes.Buffer
	code.Write([]byte{
		0xfa,                          // cli
		0x48, 0x8d, 0x35, 15, 0, 0, 0, // lea rsi, [rip+15]   the text
		0x66, 0xba, 0xf8, 0x03, // mov dx, 3f8h
		0xac,       // lodsb
		0x84, 0xc0, // test al, al
		0x74, 0x03, // jz +3
		0xee,       // out dx, al
		0xeb, 0xf8, // jmp lodsb
		0xf4,       // hlt
		0xeb, 0xfd, // jmp hlt
	})
	code.WriteString("\r\n" + efiMarker + "\r\n\x00")
	image := make([]byte, 2*sector)
	le := binary.LittleEndian
	copy(image, "MZ")
	const pe = 0x40
	le.PutUint32(image[0x3c:], pe)
	copy(image[pe:], "PE\x00\x00")
	coff := image[pe+4:]
	le.PutUint16(coff, 0x8664)
	le.PutUint16(coff[2:], 1) // section
	le.PutUint16(coff[16:], 0xf0)
	le.PutUint16(coff[18:], 0x22) // executable, large addresses
	opt := coff[20:]
	le.PutUint16(opt, 0x20b)
	le.PutUint32(opt[4:], sector)  // code
	le.PutUint32(opt[16:], 0x1000) // entry
	le.PutUint32(opt[20:], 0x1000) // base of the code
	le.PutUint32(opt[32:], 0x1000) // section alignment
	le.PutUint32(opt[36:], sector) // file alignment
	le.PutUint32(opt[56:], 0x2000) // size of the image
	le.PutUint32(opt[60:], sector) // of the headers
	le.PutUint16(opt[68:], 10)     // EFI application
	le.PutUint32(opt[108:], 16)    // directories
	text := opt[0xf0:]
	copy(text, ".text")
	le.PutUint32(text[8:], uint32(code.Len()))
	le.PutUint32(text[12:], 0x1000)
	le.PutUint32(text[16:], sector)
	le.PutUint32(text[20:], sector)
	le.PutUint32(text[36:], 0x60000020) // code, executed, read
	copy(image[sector:], code.Bytes())
	return image
}

package ova

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"github.com/hypersdk/hypersdk/internal/fault"
)

var update = flag.Bool("update", false, "rewrite the golden descriptors")

// described fills in the content of the disks.
func described(m *Machine) *Machine {
	for i := range m.Disks {
		m.Disks[i].VMDK = contentOf(noise(uint64(i), 1000*(i+1)))
	}
	return m
}

// goldens are machines of every kind of firmware and controller.
func goldens() map[string]struct {
	machine *Machine
	nvram   []byte
} {
	bios := testMachine(0)
	bios.Disks = []Disk{
		{Label: "Hard disk 1", Controller: "lsilogic", Unit: 0, Capacity: 1 << 30},
		{Label: "Hard disk 3", Controller: "buslogic", Bus: 1, Unit: 15, Capacity: 3 << 40},
		{Label: "Hard disk 2", Controller: "lsilogic", Unit: 1, Capacity: 1<<30 + 512},
	}
	efi := testMachine(0)
	efi.Stem, efi.Name, efi.GuestID, efi.GuestName = "db", "production-db", "windows2019srv_64Guest", "Microsoft Windows Server 2019 (64-bit)"
	efi.Firmware, efi.Secure, efi.CPUs, efi.Cores, efi.MemoryMB, efi.Hardware = "efi", true, 8, 4, 32768, "vmx-21"
	efi.Disks = []Disk{
		{Controller: "nvme", Unit: 0, Capacity: 1 << 30},
		{Controller: "pvscsi", Unit: 0, Capacity: 2 << 30},
		{Controller: "lsisas", Bus: 1, Unit: 3, Capacity: 3 << 30},
		{Controller: "nvme", Bus: 1, Unit: 14, Capacity: 4 << 30},
		{Controller: "pvscsi", Unit: 8, Capacity: 5 << 30},
	}
	efi.NICs = []NIC{
		{Label: "Network adapter 1", Type: "vmxnet3", Network: "prod"},
		{Label: "Network adapter 2", Type: "e1000e", Network: "backup", MAC: "00:50:56:00:00:01"},
		{Label: "Network adapter 3", Type: "sriov", Network: "prod"},
	}
	old := testMachine(0)
	old.Stem, old.Name, old.GuestID, old.GuestName, old.Hardware, old.Firmware = "old", "old", "", "", "", ""
	old.Disks = []Disk{
		{Controller: "ide", Bus: 0, Unit: 0, Capacity: 512},
		{Controller: "ide", Bus: 1, Unit: 1, Capacity: 1024},
		{Controller: "sata", Bus: 0, Unit: 29, Capacity: 1536},
	}
	old.NICs = nil
	odd := testMachine(1)
	odd.Name = "Müller & Söhne <\"prod\"> 'x' \x00\x07\x1b数据库\n\tend\xff"
	odd.Stem = Stem(odd.Name)
	odd.GuestName = "]]> <!-- & -->"
	odd.Disks[0].Label = "<Disk>&\"1\""
	odd.NICs = []NIC{{Network: "VLAN \"7\" & <dmz>", Type: "PCNet32"}, {}}
	return map[string]struct {
		machine *Machine
		nvram   []byte
	}{
		"bios": {described(bios), nil},
		"efi":  {described(efi), noise(9, 74232)},
		"old":  {described(old), nil},
		"odd":  {described(odd), nil},
	}
}

// TestGoldenDescriptors holds the whole text; rewrite with -update and look at
// the difference.
func TestGoldenDescriptors(t *testing.T) {
	for name, g := range goldens() {
		got, manifest, err := Describe(g.machine, g.nvram)
		must(t, err)
		again, _, _ := Describe(g.machine, g.nvram)
		if !bytes.Equal(got, again) {
			t.Errorf("%s: two descriptions differ", name)
		}
		if lines := bytes.Count(manifest, []byte("\n")); lines != 1+len(g.machine.Disks)+len(g.nvram)/74232 {
			t.Errorf("%s: the manifest has %d lines", name, lines)
		}
		file := filepath.Join("testdata", name+".ovf")
		if *update {
			must(t, os.WriteFile(file, got, 0o644))
		}
		if want := must1(os.ReadFile(file))(t); !bytes.Equal(got, want) {
			t.Errorf("%s differs from %s:\n%s", name, file, got)
		}
	}
}

// TestMachineRefused lists what no descriptor can hold.
func TestMachineRefused(t *testing.T) {
	cases := map[string]func(*Machine){
		"no name":             func(m *Machine) { m.Name = "" },
		"no stem":             func(m *Machine) { m.Stem = "" },
		"stem with path":      func(m *Machine) { m.Stem = "a/b" },
		"hidden stem":         func(m *Machine) { m.Stem = ".a" },
		"no CPU":              func(m *Machine) { m.CPUs = 0 },
		"no memory":           func(m *Machine) { m.MemoryMB = 0 },
		"unknown firmware":    func(m *Machine) { m.Firmware = "coreboot" },
		"unknown controller":  func(m *Machine) { m.Disks[0].Controller = "virtio" },
		"negative bus":        func(m *Machine) { m.Disks[0].Bus = -1 },
		"negative unit":       func(m *Machine) { m.Disks[0].Unit = -1 },
		"odd capacity":        func(m *Machine) { m.Disks[0].Capacity = 513 },
		"no capacity":         func(m *Machine) { m.Disks[0].Capacity = 0 },
		"one unit, two disks": func(m *Machine) { m.Disks[1].Unit = m.Disks[0].Unit },
		"one bus, two models": func(m *Machine) { m.Disks[1].Controller = "lsilogic" },
		"too many disks":      func(m *Machine) { m.Disks = testMachine(maxMembers - 2).Disks },
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			m := testMachine(2)
			change(m)
			_, err := NewWriter(nil, m)
			wantFault(t, err, fault.Unprocessable, codeMachine)
			_, _, err = Describe(described(m), nil)
			wantFault(t, err, fault.Unprocessable, codeMachine)
		})
	}
	_, _, err := Describe(testMachine(1), nil)
	wantFault(t, err, fault.Internal, codeSequence)
	huge := testMachine(0)
	huge.GuestName = strings.Repeat("x", maxDescriptor)
	_, err = NewWriter(nil, huge)
	wantFault(t, err, fault.Unprocessable, codeMachine)
}

func TestStem(t *testing.T) {
	for name, want := range map[string]string{
		"web-01": "web-01", "a/b": "a-b", "../../etc/passwd": "etc-passwd", "": "vm", "数据库": "vm", "  ": "vm", ".hidden": "hidden",
		"Müller & Söhne": "M-ller-S-hne", "x\x00y": "x-y", "CON.": "CON", "a---b": "a-b",
		strings.Repeat("ab", 100): strings.Repeat("ab", 32),
	} {
		if got := Stem(name); got != want {
			t.Errorf("Stem(%q) = %q, want %q", name, got, want)
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		s := Stem(rapid.String().Draw(t, "name"))
		if s == "" || len(s) > maxStem || s[0] == '.' || Stem(s) != s || strings.ContainsFunc(s, func(r rune) bool { return !plainRune(r) }) {
			t.Fatalf("%q", s)
		}
	})
}

// TestAnyMachine: whatever the names are, the descriptor is well-formed, fits
// its slot, and says the same to our reader.
func TestAnyMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String()
		m := &Machine{
			Name: "x" + text.Draw(t, "name"), GuestID: text.Draw(t, "guest"), GuestName: text.Draw(t, "guestName"),
			Hardware: text.Draw(t, "hardware"), CPUs: rapid.Int32Range(1, 768).Draw(t, "cpus"), MemoryMB: rapid.Int64Range(1, 1<<24).Draw(t, "memory"),
			Firmware: rapid.SampledFrom([]string{"", "bios", "efi"}).Draw(t, "firmware"),
		}
		m.Stem = Stem(m.Name)
		for i := range rapid.IntRange(0, 20).Draw(t, "disks") {
			m.Disks = append(m.Disks, Disk{
				Label: text.Draw(t, "label"), Controller: rapid.SampledFrom([]string{"ide", "sata", "nvme", "lsisas"}).Draw(t, "controller"), Unit: int32(i),
				Capacity: 512 * rapid.Int64Range(1, 1<<37).Draw(t, "capacity"),
				VMDK:     Content{Size: rapid.Int64Min(0).Draw(t, "size"), Populated: rapid.Int64Min(0).Draw(t, "populated"), SHA256: strings.Repeat("a", 64)},
			})
		}
		for range rapid.IntRange(0, 3).Draw(t, "nics") {
			m.NICs = append(m.NICs, NIC{Label: text.Draw(t, "nic"), Type: text.Draw(t, "type"), Network: text.Draw(t, "network"), MAC: text.Draw(t, "mac")})
		}
		var nvram []byte
		if rapid.Bool().Draw(t, "nvram") {
			nvram = make([]byte, 10)
		}
		got, _, err := Describe(m, nvram)
		if err != nil {
			t.Fatal(err)
		}
		if int64(len(got)) > m.slotSize() {
			t.Fatalf("%d bytes do not fit into %d", len(got), m.slotSize())
		}
		env, err := parseDescriptor(got)
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
		if env.name != strings.TrimSpace(xmlText(m.Name)) || len(env.disks) != len(m.Disks) || len(env.files) != len(m.files(m.nvram(nvram))) {
			t.Fatalf("%+v", env)
		}
		for i, d := range env.disks {
			if f := env.file(d.fileRef); d.capacity != m.Disks[i].Capacity || f.size != m.Disks[i].VMDK.Size || f.href != m.DiskFile(i) {
				t.Fatalf("disk %d: %+v %+v", i, d, f)
			}
		}
	})
}

// xmlText is a string as it comes back from XML: what cannot be there is U+FFFD.
func xmlText(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && r != '\n' && r != '\r' && unicode.IsControl(r) && r < 0x20 || r == 0xfffe || r == 0xffff {
			return unicode.ReplacementChar
		}
		return r
	}, strings.ToValidUTF8(s, string(unicode.ReplacementChar)))
}

// Package interop_test lets programs of others, which are large to build, judge
// the packages that ova writes.
package interop_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vmware/govmomi/ovf"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/disk/ova"
)

// TestGovmomiUnderstands lets govmomi make the configuration of a VM from each
// golden descriptor, refusing unknown items.
func TestGovmomiUnderstands(t *testing.T) {
	for name, want := range map[string]struct{ machine, devices, extra string }{
		"bios": {
			"web-01: debian12_64Guest vmx-19 bios, 2 CPUs, 2048 MB",
			"lsilogic0 buslogic1 disk:1073741824@lsilogic0/0 disk:3298534883328@buslogic1/15 disk:1073742336@lsilogic0/1 vmxnet3/7", "",
		},
		"efi": {
			"production-db: windows2019srv_64Guest vmx-21 efi secure, 8 CPUs by 4, 32768 MB",
			"nvme0 pvscsi0 lsisas1 nvme1 disk:1073741824@nvme0/0 disk:2147483648@pvscsi0/0 disk:3221225472@lsisas1/3 " +
				"disk:4294967296@nvme1/14 disk:5368709120@pvscsi0/8 vmxnet3/7 e1000e/8 e1000/9",
			"nvram=ovf:/file/file6",
		},
		"old": {
			"old: otherGuest vmx-13 bios, 2 CPUs, 2048 MB",
			"ide0 ide1 sata0 disk:512@ide0/0 disk:1024@ide1/1 disk:1536@sata0/29", "",
		},
		"odd": {
			"Müller & Söhne <\"prod\"> 'x' \ufffd\ufffd\ufffd数据库\n\tend\ufffd: debian12_64Guest vmx-19 bios, 2 CPUs, 2048 MB",
			"pvscsi0 disk:1048576@pvscsi0/0 pcnet32/7 e1000/8", "",
		},
	} {
		text, err := os.ReadFile(filepath.Join("..", "testdata", name+".ovf"))
		must(t, err)
		env, err := ovf.Unmarshal(bytes.NewReader(text))
		must(t, err)
		spec, err := env.ToConfigSpecWithOptions(ovf.ToConfigSpecOptions{Strict: true})
		must(t, err)
		if got := machine(&spec); got != want.machine {
			t.Errorf("%s: %s\nwant %s", name, got, want.machine)
		}
		if got := devices(spec.DeviceChange); got != want.devices {
			t.Errorf("%s: %s\nwant %s", name, got, want.devices)
		}
		var extra string
		for _, e := range spec.ExtraConfig {
			extra += fmt.Sprintf("%s=%v", e.GetOptionValue().Key, e.GetOptionValue().Value)
		}
		if extra != want.extra || extra != "" && env.References[5].ID != "file6" {
			t.Errorf("%s: %s", name, extra)
		}
		for i, d := range env.Disk.Disks {
			if *d.FileRef != env.References[i].ID || !strings.HasSuffix(env.References[i].Href, fmt.Sprintf("-disk%d.vmdk", i+1)) {
				t.Errorf("%s: disk %d is in %s", name, i, env.References[i].Href)
			}
		}
	}
}

// machine prints a configuration in short form.
func machine(spec *types.VirtualMachineConfigSpec) string {
	secure, cores := "", ""
	if b := spec.BootOptions; b != nil && b.EfiSecureBootEnabled != nil && *b.EfiSecureBootEnabled {
		secure = " secure"
	}
	if spec.NumCoresPerSocket != nil {
		cores = fmt.Sprintf(" by %d", *spec.NumCoresPerSocket)
	}
	return fmt.Sprintf("%s: %s %s %s%s, %d CPUs%s, %d MB", spec.Name, spec.GuestId, spec.Version, spec.Firmware, secure, spec.NumCPUs, cores, spec.MemoryMB)
}

var kinds = map[string]string{
	"VirtualLsiLogicController": "lsilogic", "VirtualLsiLogicSASController": "lsisas", "VirtualBusLogicController": "buslogic",
	"ParaVirtualSCSIController": "pvscsi", "VirtualAHCIController": "sata", "VirtualNVMEController": "nvme", "VirtualIDEController": "ide",
	"VirtualVmxnet3": "vmxnet3", "VirtualE1000": "e1000", "VirtualE1000e": "e1000e", "VirtualPCNet32": "pcnet32",
}

// devices prints a device list in short form.
func devices(changes []types.BaseVirtualDeviceConfigSpec) string {
	names := map[int32]string{}
	var out []string
	for _, c := range changes {
		d := c.GetVirtualDeviceConfigSpec().Device
		base := d.GetVirtualDevice()
		if disk, ok := d.(*types.VirtualDisk); ok {
			out = append(out, fmt.Sprintf("disk:%d@%s/%d", disk.CapacityInBytes, names[base.ControllerKey], *base.UnitNumber))
			continue
		}
		kind := kinds[strings.TrimPrefix(fmt.Sprintf("%T", d), "*types.")]
		if ctl, ok := d.(types.BaseVirtualController); ok {
			kind += strconv.Itoa(int(ctl.GetVirtualController().BusNumber))
			names[base.Key] = kind
		} else {
			kind += fmt.Sprintf("/%d", *base.UnitNumber)
		}
		out = append(out, kind)
	}
	return strings.Join(out, " ")
}

// osNumber is the CIM number that a descriptor gives to a guest id.
func osNumber(t *testing.T, guestID string) int {
	t.Helper()
	text, _, err := ova.Describe(&ova.Machine{Stem: "x", Name: "x", GuestID: guestID, CPUs: 1, MemoryMB: 4}, nil)
	must(t, err)
	env, err := ovf.Unmarshal(bytes.NewReader(text))
	must(t, err)
	return int(env.VirtualSystem.OperatingSystem.ID)
}

// TestGuestNumbers compares with govmomi's table from CIM numbers to guest ids.
// The two differ where VMware stopped at the numbers of 2013.
func TestGuestNumbers(t *testing.T) {
	newer := map[types.VirtualMachineGuestOsIdentifier]int{
		types.VirtualMachineGuestOsIdentifierWindows9Server64Guest: 116, // Server 2016, not 2012 R2
	}
	versions := []string{""}
	for v := range 30 {
		versions = append(versions, strconv.Itoa(v))
	}
	compared := 0
	for id := range 200 {
		for _, v := range versions {
			guest := ovf.CIMOSTypeToGuestID(ovf.CIMOSType(id), v)
			if guest == "" {
				continue
			}
			want := id
			if n, ok := newer[guest]; ok {
				want = n
			}
			if got := osNumber(t, string(guest)); got != want {
				t.Errorf("%s: %d, govmomi has %d (version %q)", guest, got, want, v)
			}
			compared++
		}
	}
	if compared < 150 {
		t.Errorf("only %d compared", compared)
	}
}

// TestEveryGuestHasItsKind: every guest id that vSphere knows gets the number
// of the right kind of system.
func TestEveryGuestHasItsKind(t *testing.T) {
	windows := []int{15, 16, 17, 18, 58, 63, 67, 69, 70, 71, 73, 74, 76, 77, 103, 105, 112, 113, 114, 116, 119, 120, 121, 122, 123}
	linux := []int{36, 101, 79, 80, 106, 107, 108, 109}
	for n := 82; n <= 100; n++ {
		linux = append(linux, n)
	}
	neither := []string{"dos", "darwin", "freebsd", "solaris", "os2", "eCom", "netware", "openServer", "unixWare", "vmkernel", "otherGuest", "crx"}
	for _, v := range types.VirtualMachineGuestOsIdentifier("").Values() {
		id := string(v)
		if slices.ContainsFunc(neither, func(p string) bool { return strings.HasPrefix(id, p) }) {
			continue
		}
		kind := linux
		if strings.HasPrefix(id, "win") {
			kind = windows
		}
		if n := osNumber(t, id); !slices.Contains(kind, n) {
			t.Errorf("%s: %d", id, n)
		}
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

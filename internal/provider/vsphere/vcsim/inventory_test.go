package vcsim_test

import (
	"os"
	"path"
	"strings"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

func TestDefaultInventory(t *testing.T) {
	s := start(t, vcsim.Options{Filler: 3})
	c := login(t, s)
	f := find.NewFinder(c.Client)
	for _, v := range vcsim.DefaultInventory() {
		vm := machine(t, c, path.Join("/DC/vm", escapeGlob(v.Path)))
		p := properties(t, vm)
		want := types.VirtualMachinePowerStatePoweredOff
		if v.On {
			want = types.VirtualMachinePowerStatePoweredOn
		}
		if p.Runtime.PowerState != want {
			t.Errorf("%s is %s", v.Path, p.Runtime.PowerState)
		}
		for i, d := range v.Disks {
			if d.RDM {
				continue
			}
			if got := disk(t, s, v.Path, int32(2000+i)).Size(); got != d.Size {
				t.Errorf("%s disk %d has %d bytes, want %d", v.Path, i, got, d.Size)
			}
		}
	}
	apps, err := f.VirtualMachineList(t.Context(), "/DC/vm/Team*/app")
	if err != nil || len(apps) != 2 {
		t.Errorf("machines of one name: %v, %v", apps, err)
	}
	fillers, err := f.VirtualMachineList(t.Context(), "/DC/vm/Filler/*")
	if err != nil || len(fillers) != 3 {
		t.Errorf("filler machines: %v, %v", fillers, err)
	}
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("a fresh inventory has leftovers %q", left)
	}
}

// escapeGlob makes the finder take a path literally.
func escapeGlob(p string) string {
	return strings.NewReplacer("[", `\[`, "]", `\]`).Replace(p)
}

func TestMachineProperties(t *testing.T) {
	s := start(t, only("production-db", "Linux/efi-01"))
	c := login(t, s)

	db := properties(t, machine(t, c, "/DC/vm/production-db"))
	var sizes []int64
	for _, d := range db.Config.Hardware.Device {
		if v, ok := d.(*types.VirtualDisk); ok {
			sizes = append(sizes, v.CapacityInBytes)
		}
	}
	if len(sizes) != 4 || sizes[2] != 1<<30+512 {
		t.Errorf("capacities %v", sizes)
	}
	if st := db.Summary.Storage; st.Committed > 1<<30 || st.Committed < 64<<20 {
		t.Errorf("committed %d bytes: must be what is allocated", st.Committed)
	}
	efi := properties(t, machine(t, c, "/DC/vm/Linux/efi-01"))
	if efi.Config.Firmware != "efi" || !*efi.Config.BootOptions.EfiSecureBootEnabled {
		t.Errorf("firmware %q", efi.Config.Firmware)
	}
	keys := make(map[int32]bool)
	for _, f := range efi.LayoutEx.File {
		keys[f.Key] = true
	}
	for _, d := range efi.LayoutEx.Disk {
		for _, unit := range d.Chain {
			for _, k := range unit.FileKey {
				if !keys[k] {
					t.Errorf("the layout of disk %d names a file %d that is not listed", d.Key, k)
				}
			}
		}
	}
	nic, ok := findNIC(efi.Config)
	if !ok || nic.MacAddress == "" {
		t.Error("no network card with an address")
	}
}

func findNIC(config *types.VirtualMachineConfigInfo) (*types.VirtualVmxnet3, bool) {
	for _, d := range config.Hardware.Device {
		if nic, ok := d.(*types.VirtualVmxnet3); ok {
			return nic, true
		}
	}
	return nil, false
}

func TestAddVMWithRawImage(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	raw := path.Join(t.TempDir(), "x.raw")
	if err := disk(t, s, "vm-a", 2000).WriteFile(raw); err != nil {
		t.Fatal(err)
	}
	if err := s.AddVM(t.Context(), vcsim.VM{Path: "New/copy", Disks: []vcsim.Disk{{Raw: raw}, {Raw: raw, Size: 8 << 20}}}); err != nil {
		t.Fatal(err)
	}
	want := read(t, disk(t, s, "vm-a", 2000), 0, 4<<20+512)
	same(t, "copy", read(t, disk(t, s, "New/copy", 2000), 0, 4<<20+512), want)
	same(t, "larger copy", read(t, disk(t, s, "New/copy", 2001), 0, 4<<20+512), want)
	if got := disk(t, s, "New/copy", 2001).Size(); got != 8<<20 {
		t.Errorf("the larger disk has %d bytes", got)
	}
}

func TestStartRefusals(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	used := t.TempDir()
	if err := os.Mkdir(path.Join(used, "datastores"), 0o700); err != nil {
		t.Fatal(err)
	}
	odd := func(d vcsim.Disk) []vcsim.VM { return []vcsim.VM{{Path: "x", Disks: []vcsim.Disk{d}}} }
	for name, tc := range map[string]struct {
		o    vcsim.Options
		kind fault.Kind
	}{
		"address taken":      {vcsim.Options{VMs: one(), Listen: s.URL().Host}, fault.Unavailable},
		"host address taken": {vcsim.Options{VMs: one(), HostListen: s.URL().Host}, fault.Unavailable},
		"directory in use":   {vcsim.Options{VMs: one(), Dir: used}, fault.Conflict},
		"disk without size":  {vcsim.Options{VMs: odd(vcsim.Disk{})}, fault.Invalid},
		"disk of odd size":   {vcsim.Options{VMs: odd(vcsim.Disk{Size: 1000})}, fault.Invalid},
		"no such raw image":  {vcsim.Options{VMs: odd(vcsim.Disk{Raw: path.Join(used, "none")})}, fault.Invalid},
		"no such controller": {vcsim.Options{VMs: odd(vcsim.Disk{Size: 512, Controller: "floppy"})}, fault.Invalid},
	} {
		broken, err := vcsim.Start(t.Context(), tc.o)
		if err == nil {
			_ = broken.Close()
		}
		if !fault.Is(err, tc.kind) || fault.As(err).Fix == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

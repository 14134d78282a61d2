package vsphere_test

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi/simulator"

	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
	"github.com/hypersdk/hypersdk/internal/secret"
)

func list(t *testing.T, p *vsphere.Provider, patterns ...string) []provider.VM {
	t.Helper()
	var found []provider.VM
	for vm, err := range p.VMs(t.Context(), patterns...) {
		if err != nil {
			t.Fatal(fault.Detail(err))
		}
		found = append(found, vm)
	}
	return found
}

func vmPaths(vms []provider.VM) []string {
	var paths []string
	for _, vm := range vms {
		paths = append(paths, vm.Path)
	}
	return paths
}

// odd is an inventory of names that break naive code.
func odd() []vcsim.VM {
	return []vcsim.VM{
		tiny("web-01"), tiny("web-02"), tiny("Team A/app"), tiny("Team B/app"),
		tiny("Odd/app%2fdb"), tiny("Odd/größe-データ"), tiny("Odd/100%25 [test] & <odd>"),
		tiny("Odd/" + strings.Repeat("long-name-", 20)),
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: odd()})
	p := connect(t, config(t, s), vsphere.Observer{})
	all := list(t, p)
	if len(all) != len(odd()) {
		t.Fatalf("%d VMs, want %d", len(all), len(odd()))
	}
	for _, vm := range all {
		for _, ref := range []string{vm.Path, vm.ID, vm.UUID, strings.ToUpper(vm.UUID), strings.TrimPrefix(vm.Path, "/DC/vm/")} {
			got, err := p.Find(t.Context(), ref)
			if err != nil || got.ID != vm.ID {
				t.Errorf("Find(%q) = %q, %v", ref, got.Path, err)
			}
		}
	}
	for ref, path := range map[string]string{
		"web-01":                         "/DC/vm/web-01",
		"app/db":                         "/DC/vm/Odd/app%2fdb",
		"app%2Fdb":                       "/DC/vm/Odd/app%2fdb",
		"/DC/vm/Odd/app%2Fdb":            "/DC/vm/Odd/app%2fdb",
		"100% [test] & <odd>":            "/DC/vm/Odd/100%25 [test] & <odd>",
		"größe-データ":                      "/DC/vm/Odd/größe-データ",
		"Team A/app":                     "/DC/vm/Team A/app",
		"/DC/vm/Team B/*":                "/DC/vm/Team B/app",
		strings.Repeat("long-name-", 20): "/DC/vm/Odd/" + strings.Repeat("long-name-", 20),
	} {
		vm, err := p.Find(t.Context(), ref)
		if err != nil || vm.Path != path {
			t.Errorf("Find(%q) = %q, %v; want %q", ref, vm.Path, err, path)
		}
	}
}

func TestFindRefuses(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: odd()})
	p := connect(t, config(t, s), vsphere.Observer{})
	for _, c := range []struct {
		ref  string
		kind fault.Kind
		says []string
	}{
		{"app", fault.Unprocessable, []string{"/DC/vm/Team A/app", "/DC/vm/Team B/app"}},
		{"web-*", fault.Unprocessable, []string{"/DC/vm/web-01", "/DC/vm/web-02"}},
		{"/DC/vm/wbe-01", fault.NotFound, []string{"did you mean", "/DC/vm/web-01"}},
		{"WEB", fault.NotFound, []string{"/DC/vm/web-01", "/DC/vm/web-02"}},
		{"nothing-like-it", fault.NotFound, []string{"hyperexport vsphere list"}},
		{"", fault.NotFound, nil},
		{"[", fault.NotFound, nil},
		{"/DC/vm/*/*/*", fault.NotFound, nil},
	} {
		_, err := p.Find(t.Context(), c.ref)
		wantKind(t, err, c.kind)
		for _, text := range c.says {
			if !strings.Contains(err.Error(), text) {
				t.Errorf("Find(%q) does not say %q: %v", c.ref, text, err)
			}
		}
	}
}

func TestPatterns(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: odd()})
	p := connect(t, config(t, s), vsphere.Observer{})
	for _, c := range []struct {
		patterns []string
		want     []string
	}{
		{[]string{"/DC/vm/*"}, []string{"/DC/vm/web-01", "/DC/vm/web-02"}},
		{[]string{"/DC/vm/Team */app"}, []string{"/DC/vm/Team A/app", "/DC/vm/Team B/app"}},
		{[]string{"web-01", "web-0?", "/DC/vm/web-01"}, []string{"/DC/vm/web-01", "/DC/vm/web-02"}},
		{[]string{"nothing"}, nil},
	} {
		if got := vmPaths(list(t, p, c.patterns...)); !slices.Equal(got, c.want) {
			t.Errorf("VMs(%q) = %q, want %q", c.patterns, got, c.want)
		}
	}
}

func TestDescription(t *testing.T) {
	t.Parallel()
	s := start(t, vcsim.Options{VMs: []vcsim.VM{{
		Path: "Linux/efi", On: true, EFI: true, CBT: true, CPUs: 3, MemoryMB: 2048, Host: "esxi-02.lab.test", Datastore: "vmfs-02",
		Disks: []vcsim.Disk{{Size: 4 * mib, Fill: data(1)}, {Size: mib + 512, Controller: "nvme", Thick: true}},
	}}})
	p := connect(t, config(t, s), vsphere.Observer{})
	vm, err := p.Find(t.Context(), "efi")
	if err != nil {
		t.Fatal(err)
	}
	if vm.Provider != "vsphere" || vm.Path != "/DC/vm/Linux/efi" || vm.PowerState != "on" || vm.Host != "esxi-02.lab.test" ||
		vm.Datastore != "vmfs-02" || vm.Firmware != "efi" || !vm.SecureBoot || vm.GuestID != "debian12_64Guest" ||
		vm.CPUs != 3 || vm.MemoryMB != 2048 || vm.Hardware != "vmx-19" || !vm.CBT || vm.UUID == "" || vm.BIOSUUID == "" {
		t.Errorf("%+v", vm)
	}
	if len(vm.Blockers) != 0 || len(vm.Snapshots) != 0 {
		t.Errorf("blockers %+v, snapshots %v", vm.Blockers, vm.Snapshots)
	}
	if len(vm.NICs) != 1 || vm.NICs[0].Type != "vmxnet3" || vm.NICs[0].Network != "VM Network" || vm.NICs[0].MAC == "" {
		t.Errorf("%+v", vm.NICs)
	}
	if len(vm.Disks) != 2 {
		t.Fatalf("%+v", vm.Disks)
	}
	first, second := vm.Disks[0], vm.Disks[1]
	if first.Key != "2000" || first.Label != "Hard disk 1" || first.CapacityBytes != 4*mib || first.UsedBytes <= 0 ||
		first.Controller != "pvscsi" || !first.Thin || first.Mode != "persistent" || first.Backing != "flat" ||
		first.Datastore != "vmfs-02" || !strings.HasPrefix(first.Path, "[vmfs-02] ") {
		t.Errorf("%+v", first)
	}
	if second.CapacityBytes != mib+512 || second.Controller != "nvme" || second.Thin {
		t.Errorf("%+v", second)
	}
}

func TestBlockers(t *testing.T) {
	t.Parallel()
	small := vcsim.Disk{Size: mib, Fill: data(1)}
	s := start(t, vcsim.Options{VMs: []vcsim.VM{
		{Path: "rdm", On: true, Disks: []vcsim.Disk{small, {Size: mib, RDM: true}}},
		{Path: "independent", On: true, Disks: []vcsim.Disk{small, {Size: mib, Mode: "independent_persistent", Fill: data(2)}}},
		{Path: "independent-off", Disks: []vcsim.Disk{small, {Size: mib, Mode: "independent_persistent", Fill: data(2)}}},
		{Path: "empty"},
	}})
	p := connect(t, config(t, s), vsphere.Observer{})
	for _, c := range []struct {
		vm, code string
		fatal    bool
		exclude  []string
	}{
		{vm: "rdm", code: "HX-VSPHERE-111", fatal: true, exclude: []string{"2001"}},
		{vm: "independent", code: "HX-VSPHERE-113", fatal: true, exclude: []string{"Hard disk 2"}},
		{vm: "independent-off", code: "HX-VSPHERE-113"},
		{vm: "empty", code: "HX-VSPHERE-102", fatal: true},
	} {
		t.Run(c.vm, func(t *testing.T) {
			t.Parallel()
			vm, err := p.Find(t.Context(), c.vm)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(vm.Blockers, func(b provider.Blocker) bool { return b.Code == c.code })
			if i < 0 || vm.Blockers[i].Fatal != c.fatal || vm.Blockers[i].Msg == "" {
				t.Fatalf("blockers: %+v", vm.Blockers)
			}
			open := func(exclude ...string) error {
				z, err := p.Open(t.Context(), vm, provider.OpenOptions{JobID: c.vm, ExcludeDisks: exclude, Ledger: &ledger{}})
				if err != nil {
					return err
				}
				if want := len(vm.Disks) - len(exclude); len(z.VM().Disks) != want {
					t.Errorf("%d disks, want %d", len(z.VM().Disks), want)
				}
				return z.Close(t.Context())
			}
			if err := open(); c.fatal {
				wantKind(t, err, fault.Unprocessable)
			} else if err != nil {
				t.Error(fault.Detail(err))
			}
			if c.exclude != nil {
				if err := open(c.exclude...); err != nil {
					t.Error(fault.Detail(err))
				}
			}
		})
	}
	if left := s.Leftovers(); len(left) > 0 {
		t.Error(left)
	}
}

// Govmomi's own simulator has another tree: a folder above the datacenter.
func TestSeveralPages(t *testing.T) {
	t.Parallel()
	const each = 4 // on each of two pools
	model := simulator.VPX()
	model.Machine = each
	model.Folder = 1 // everything one folder deeper
	model.Autostart = false
	starting.Lock()
	err := model.Create()
	starting.Unlock()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(model.Remove)
	model.Service.TLS = new(tls.Config)
	s := model.Service.NewServer()
	t.Cleanup(s.Close)
	cfg := vsphere.Config{URL: "https://" + s.URL.Host, Username: "user", Password: secret.New("pass"), Insecure: true}
	p := connect(t, cfg, vsphere.Observer{})
	p.SetPage(3)
	seen := make(map[string]bool)
	for _, vm := range list(t, p) {
		seen[vm.Path] = true
	}
	for _, pool := range []string{"DC0_H0", "DC0_C0_RP0"} {
		for i := range each {
			if path := fmt.Sprintf("/F0/DC0/vm/F0/%s_VM%d", pool, i); !seen[path] {
				t.Fatalf("%s is missing of %d", path, len(seen))
			}
		}
	}
}

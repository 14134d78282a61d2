package vsphere_test

import (
	"strconv"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
	"github.com/hypersdk/hypersdk/internal/provider"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere"
	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

// zoo has disks of every kind of size and controller.
func zoo(name string, on, cbt bool) vcsim.VM {
	return vcsim.VM{Path: name, On: on, CBT: cbt, Disks: []vcsim.Disk{
		{Size: 9 * mib, Fill: data(1)},
		{Size: 5*mib + 512, Fill: data(2), Controller: "lsilogic"},
		{Size: 3 * mib},
		{Size: 7*mib + 65536, Fill: data(3), Controller: "sata"},
		{Size: 512, Fill: data(4), Controller: "nvme"},
	}}
}

func TestContentOfBothTransports(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, transport, want string
		on, cbt               bool
		store                 string
	}{
		{name: "auto is range", want: provider.TransportRange, on: true},
		{name: "range with CBT", want: provider.TransportRange, on: true, cbt: true},
		{name: "range of a VM that is off", want: provider.TransportRange},
		{name: "nfc of a running VM", transport: provider.TransportNFC, want: provider.TransportNFC, on: true},
		{name: "nfc of a VM that is off", transport: provider.TransportNFC, want: provider.TransportNFC},
		{name: "auto on vVol is nfc", want: provider.TransportNFC, on: true, store: "vvol-01"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			machine := zoo("zoo", c.on, c.cbt)
			machine.Datastore = c.store
			r := newRig(t, "/DC/vm/zoo", vcsim.Options{VMs: []vcsim.VM{machine}}, nil, vsphere.Observer{})
			z := r.open(c.transport)
			if n := len(z.VM().Disks); n != len(machine.Disks) {
				t.Fatalf("%d disks, want %d", n, len(machine.Disks))
			}
			for _, d := range z.VM().Disks {
				src := r.disk(z, d.Key)
				if got := src.Info(); got.Transport != c.want || got.Reason == "" || got.Identity == "" {
					t.Errorf("disk %s: %+v, want transport %s", d.Key, got, c.want)
				}
				if _, err := compare(t.Context(), src, r.content(d.Key), 0); err != nil {
					t.Errorf("disk %s: %v", d.Key, fault.Detail(err))
				}
				if checked, ok := src.(disk.Checked); ok && checked.Origin() == nil {
					t.Errorf("disk %s: the origin's checksum was not compared", d.Key)
				}
			}
			r.close(z)
			r.clean()
		})
	}
}

// content is a disk of the rig's VM as it is now.
func (r *rig) content(key string) *vcsim.Content {
	r.t.Helper()
	n, err := strconv.ParseInt(key, 10, 32)
	if err != nil {
		r.t.Fatal(err)
	}
	content, err := r.server.Disk(r.path, int32(n))
	if err != nil {
		r.t.Fatal(err)
	}
	return content
}

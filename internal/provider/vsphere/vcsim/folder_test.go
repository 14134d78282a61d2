package vcsim_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

func TestFolderRanges(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	snapshot(t, vm, "x")
	u := flatURL(s, backing(t, properties(t, vm).Config, 2000))
	const size = 4<<20 + 512
	want := read(t, disk(t, s, "vm-a", 2000), 0, size)
	for _, tc := range []struct {
		rng          string
		status       int
		off, end     int64
		contentRange string
	}{
		{"", 200, 0, size, ""},
		{"bytes=0-0", 206, 0, 1, "bytes 0-0/4194816"},
		{"bytes=65536-131071", 206, 65536, 131072, "bytes 65536-131071/4194816"},
		{"bytes=4194304-", 206, 4194304, size, "bytes 4194304-4194815/4194816"},
		{"bytes=4194304-9999999", 206, 4194304, size, "bytes 4194304-4194815/4194816"},
		{"bytes=-512", 206, size - 512, size, "bytes 4194304-4194815/4194816"},
		{"bytes=4194816-", 416, 0, 0, "bytes */4194816"},
		{"bytes=9-3", 200, 0, size, ""},
		{"bytes=0-1,3-4", 200, 0, size, ""},
		{"lines=1-2", 200, 0, size, ""},
	} {
		res, body := get(t, c, http.MethodGet, u, tc.rng)
		if res.StatusCode != tc.status || res.Header.Get("Content-Range") != tc.contentRange {
			t.Errorf("%q: %s, Content-Range %q", tc.rng, res.Status, res.Header.Get("Content-Range"))
			continue
		}
		if tc.status == 416 {
			continue
		}
		same(t, tc.rng, body, want[tc.off:tc.end])
		if res.ContentLength != tc.end-tc.off {
			t.Errorf("%q: Content-Length %d", tc.rng, res.ContentLength)
		}
	}
	res, body := get(t, c, http.MethodHead, u, "")
	if res.StatusCode != 200 || res.ContentLength != size || len(body) != 0 || res.Header.Get("Last-Modified") == "" {
		t.Errorf("HEAD: %s, length %d, %d bytes", res.Status, res.ContentLength, len(body))
	}
}

func TestFolderRefusals(t *testing.T) {
	s := start(t, only("web-01", "batch-01", "Blocked/object-storage"))
	c := login(t, s)
	web := backing(t, properties(t, machine(t, c, "/DC/vm/web-01")).Config, 2000)
	batch := backing(t, properties(t, machine(t, c, "/DC/vm/batch-01")).Config, 2000)
	object := backing(t, properties(t, machine(t, c, "/DC/vm/Blocked/object-storage")).Config, 2000)
	ok := flatURL(s, batch)
	for _, tc := range []struct {
		name, url string
		status    int
	}{
		{"powered off", ok, 200},
		{"running without a snapshot", flatURL(s, web), 500},
		{"object storage", flatURL(s, object), 500},
		{"no such file", strings.Replace(ok, "batch-01-flat", "none-flat", 1), 404},
		{"no such datastore", strings.Replace(ok, "dsName=vmfs-01", "dsName=vmfs-99", 1), 404},
		{"no such datacenter", strings.Replace(ok, "dcPath=DC", "dcPath=XX", 1), 404},
		{"no datacenter", strings.Replace(ok, "dcPath=DC", "", 1), 404},
		{"outside", strings.Replace(ok, "/folder/", "/folder/..%2f", 1), 404},
		{"descriptor", strings.Replace(ok, "-flat.vmdk", ".vmdk", 1), 200},
		{"nvram", strings.Replace(ok, "-flat.vmdk", ".nvram", 1), 200},
	} {
		if res, _ := get(t, c, http.MethodGet, tc.url, ""); res.StatusCode != tc.status {
			t.Errorf("%s: %s, want %d", tc.name, res.Status, tc.status)
		}
	}
	if res, _ := get(t, connect(t, s), http.MethodGet, ok, ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a session: %s", res.Status)
	}
}

func TestFolderAcceptsBasicAuthentication(t *testing.T) {
	s := start(t, vcsim.Options{VMs: []vcsim.VM{{Path: "off", Disks: one()[0].Disks}}})
	c := login(t, s)
	u := flatURL(s, backing(t, properties(t, machine(t, c, "/DC/vm/off")).Config, 2000))
	plain := connect(t, s).Client.Client.Client
	for pass, status := range map[string]int{s.Password(): 200, "wrong": 401} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodHead, u, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(s.Username(), pass)
		res, err := plain.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != status {
			t.Errorf("password %q: %s", pass, res.Status)
		}
	}
}

// A reader of the base must not go on when the snapshot that froze it is gone.
func TestFolderCutsWhenTheSnapshotGoes(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	ref := snapshot(t, vm, "x")
	u := flatURL(s, backing(t, properties(t, vm).Config, 2000))
	s.Faults().Add(vcsim.Fault{Kind: vcsim.Slow, Transport: vcsim.Folder, Rate: 1 << 20})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, u, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Client.Client.Client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if err := removeSnapshot(t, vm, ref); err != nil {
		t.Fatal(err)
	}
	n := int64(0)
	buf := make([]byte, 32<<10)
	for err == nil {
		var k int
		k, err = res.Body.Read(buf)
		n += int64(k)
	}
	if n >= 4<<20+512 {
		t.Errorf("all of %d bytes were sent although the snapshot is gone", n)
	}
	if res, _ := get(t, c, http.MethodGet, u, ""); res.StatusCode != 500 {
		t.Errorf("after removal: %s", res.Status)
	}
}

func TestStatsTellWhatIsReadAgain(t *testing.T) {
	s := start(t, vcsim.Options{VMs: []vcsim.VM{{Path: "off", Disks: one()[0].Disks}}})
	c := login(t, s)
	u := flatURL(s, backing(t, properties(t, machine(t, c, "/DC/vm/off")).Config, 2000))
	for _, rng := range []string{"bytes=0-999", "bytes=2000-2999", "bytes=500-2499", "bytes=4000-4099", "bytes=0-9999"} {
		get(t, c, http.MethodGet, u, rng)
	}
	want := vcsim.DiskTraffic{VM: "off", Disk: 2000, Transport: vcsim.Folder, Requests: 5, Bytes: 14100, Again: 4100}
	if got := s.Stats(); len(got) != 1 || got[0] != want {
		t.Errorf("stats %+v, want %+v", got, want)
	}
	s.ResetStats()
	if got := s.Stats(); len(got) != 0 {
		t.Errorf("after reset: %+v", got)
	}
}

// A client that makes a machine itself gets disks that work, too.
func TestMachineOfAClient(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	add := &types.VirtualDisk{CapacityInKB: 1024}
	add.Backing = &types.VirtualDiskFlatVer2BackingInfo{
		DiskMode:                     "persistent",
		VirtualDeviceFileBackingInfo: types.VirtualDeviceFileBackingInfo{FileName: "[vmfs-01] vm-a/added.vmdk"},
	}
	devices, err := vm.Device(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	devices.AssignController(add, devices.PickController((*types.ParaVirtualSCSIController)(nil)))
	if err := vm.AddDevice(t.Context(), add); err != nil {
		t.Fatal(err)
	}
	snapshot(t, vm, "x")
	devices, err = vm.Device(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last := devices.SelectByType((*types.VirtualDisk)(nil))[1].(*types.VirtualDisk)
	var p object.DatastorePath
	p.FromString(last.Backing.(*types.VirtualDiskFlatVer2BackingInfo).FileName)
	if p.Path != "vm-a/added-000001.vmdk" {
		t.Errorf("top of the added disk is %s", p.Path)
	}
	res, body := get(t, c, http.MethodGet, flatURL(s, last.Backing.(*types.VirtualDiskFlatVer2BackingInfo)), "")
	if res.StatusCode != 200 || len(body) != 1<<20 {
		t.Errorf("%s, %d bytes", res.Status, len(body))
	}
}

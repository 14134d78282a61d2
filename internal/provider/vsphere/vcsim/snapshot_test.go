package vcsim_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vmware/govmomi"
	"github.com/vmware/govmomi/fault"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	"github.com/hypersdk/hypersdk/internal/provider/vsphere/vcsim"
)

func write(t *testing.T, s *vcsim.Server, off int64, n int, b byte) {
	t.Helper()
	if err := s.GuestWrite("vm-a", 2000, off, bytes.Repeat([]byte{b}, n)); err != nil {
		t.Fatal(err)
	}
}

func frozen(t *testing.T, s *vcsim.Server, name string) *vcsim.Content {
	t.Helper()
	d, err := s.FrozenDisk("vm-a", name, 2000)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestSnapshotFreezesContent(t *testing.T) {
	const size = 4<<20 + 512
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	now := disk(t, s, "vm-a", 2000)
	var states [][]byte // content at each snapshot
	var refs []types.ManagedObjectReference
	for i, name := range []string{"s1", "s2", "s3"} {
		states = append(states, read(t, now, 0, size))
		refs = append(refs, snapshot(t, vm, name))
		write(t, s, int64(i)*70_000+3, 100_000, byte(0xa0+i))
		write(t, s, size-5, 5, byte(0xb0+i))
	}
	last := read(t, now, 0, size)
	if bytes.Equal(last, states[2]) {
		t.Fatal("writes had no effect")
	}
	check := func(when string, names ...string) {
		t.Helper()
		for _, name := range names {
			same(t, when+" "+name, read(t, frozen(t, s, name), 0, size), states[name[1]-'1'])
		}
		same(t, when+" now", read(t, now, 0, size), last)
	}
	check("three snapshots", "s1", "s2", "s3")
	if left := s.Leftovers(); len(left) != 3 {
		t.Errorf("leftovers %q", left)
	}
	p := properties(t, vm)
	chain := chainOf(backing(t, p.Config, 2000))
	if len(chain) != 4 || chain[0] != "[vmfs-01] vm-a/vm-a-000003.vmdk" || chain[3] != "[vmfs-01] vm-a/vm-a.vmdk" {
		t.Errorf("chain %q", chain)
	}

	old := frozen(t, s, "s2")
	if err := removeSnapshot(t, vm, refs[1]); err != nil { // the middle one
		t.Fatal(err)
	}
	check("after removal of s2", "s1", "s3")
	if _, err := old.ReadAt(make([]byte, 1), 0); err == nil {
		t.Error("a removed snapshot can still be read")
	}
	if err := removeSnapshot(t, vm, refs[2]); err != nil { // the last one
		t.Fatal(err)
	}
	check("after removal of s3", "s1")
	if err := removeSnapshot(t, vm, refs[0]); err != nil {
		t.Fatal(err)
	}
	check("after removal of all")
	p = properties(t, vm)
	if chain := chainOf(backing(t, p.Config, 2000)); len(chain) != 1 || p.Snapshot != nil {
		t.Errorf("chain %q, snapshots %v", chain, p.Snapshot)
	}
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("leftovers %q", left)
	}
}

func chainOf(b *types.VirtualDiskFlatVer2BackingInfo) []string {
	var names []string
	for ; b != nil; b = b.Parent {
		names = append(names, b.FileName)
	}
	return names
}

func TestRemoveAllSnapshotsMerges(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	now := disk(t, s, "vm-a", 2000)
	for i, name := range []string{"a", "b"} {
		snapshot(t, vm, name)
		write(t, s, int64(i)<<20, 1000, byte(i+1))
	}
	want := read(t, now, 0, now.Size())
	task, err := vm.RemoveAllSnapshot(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	same(t, "merged", read(t, now, 0, now.Size()), want)
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("leftovers %q", left)
	}
}

func TestRemoveWithChildren(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	snapshot(t, vm, "a")
	b := snapshot(t, vm, "b")
	snapshot(t, vm, "c")
	write(t, s, 0, 10, 9)
	task, err := vm.RemoveSnapshot(t.Context(), b.Value, true, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := s.Leftovers(); len(left) != 1 {
		t.Errorf("leftovers %q", left)
	}
	if chain := chainOf(backing(t, properties(t, vm).Config, 2000)); len(chain) != 2 {
		t.Errorf("chain %q", chain)
	}
}

func TestIndependentDiskIsNotFrozen(t *testing.T) {
	s := start(t, only("Blocked/independent"))
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/Blocked/independent")
	snapshot(t, vm, "x")
	config := properties(t, vm).Config
	if len(chainOf(backing(t, config, 2000))) != 2 || len(chainOf(backing(t, config, 2001))) != 1 {
		t.Error("a snapshot covers the persistent disk and not the independent one")
	}
}

func TestSnapshotFaults(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	s.Faults().Add(vcsim.Fault{Kind: vcsim.FailCreateSnapshot, VM: "/DC/vm/vm-a", Times: 1})
	task, err := vm.CreateSnapshot(t.Context(), "x", "", false, false)
	if err != nil {
		t.Fatal(err)
	}
	if err := task.Wait(t.Context()); !fault.Is(err, &types.ApplicationQuiesceFault{}) {
		t.Errorf("create: %v", err)
	}
	if left := s.Leftovers(); len(left) != 0 {
		t.Errorf("a failed snapshot left %q", left)
	}
	ref := snapshot(t, vm, "x")
	s.Faults().Add(vcsim.Fault{Kind: vcsim.FailRemoveSnapshot, Times: 2})
	for range 2 {
		if err := removeSnapshot(t, vm, ref); !fault.Is(err, &types.FileLocked{}) {
			t.Errorf("remove: %v", err)
		}
	}
	if err := removeSnapshot(t, vm, ref); err != nil {
		t.Errorf("third removal: %v", err)
	}
}

// areas asks page by page and returns all changed areas of vm-a's disk.
func areas(t *testing.T, c *govmomi.Client, vm *object.VirtualMachine, snap types.ManagedObjectReference, id string) ([]types.DiskChangeExtent, int, error) {
	t.Helper()
	var all []types.DiskChangeExtent
	pages := 0
	for off, size := int64(0), int64(4<<20+512); off < size; pages++ {
		res, err := methods.QueryChangedDiskAreas(t.Context(), c.Client, &types.QueryChangedDiskAreas{
			This: vm.Reference(), Snapshot: &snap, DeviceKey: 2000, StartOffset: off, ChangeId: id,
		})
		if err != nil {
			return nil, pages, err
		}
		all = append(all, res.Returnval.ChangedArea...)
		if res.Returnval.StartOffset != off || res.Returnval.Length <= 0 {
			t.Fatalf("page from %d: offset %d, length %d", off, res.Returnval.StartOffset, res.Returnval.Length)
		}
		off += res.Returnval.Length
	}
	return all, pages, nil
}

func changeID(t *testing.T, c *govmomi.Client, snap types.ManagedObjectReference) string {
	t.Helper()
	var p mo.VirtualMachineSnapshot
	if err := c.RetrieveOne(t.Context(), snap, []string{"config"}, &p); err != nil {
		t.Fatal(err)
	}
	return backing(t, &p.Config, 2000).ChangeId
}

func TestChangedBlockTracking(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	s1 := snapshot(t, vm, "s1")
	write(t, s, 3<<20, 10, 1)    // block 48
	write(t, s, 65536-1, 2, 1)   // blocks 0 and 1
	write(t, s, 4<<20+511, 1, 1) // the last sector
	s2 := snapshot(t, vm, "s2")
	write(t, s, 2<<20, 1, 1)
	s3 := snapshot(t, vm, "s3")

	id1, id2 := changeID(t, c, s1), changeID(t, c, s2)
	if id1 == "" || id2 == "" || id1 == id2 {
		t.Fatalf("change ids %q and %q", id1, id2)
	}
	for _, tc := range []struct {
		since string
		at    types.ManagedObjectReference
		want  []types.DiskChangeExtent
	}{
		{id1, s2, []types.DiskChangeExtent{{Start: 0, Length: 131072}, {Start: 3 << 20, Length: 65536}, {Start: 4 << 20, Length: 512}}},
		{id2, s3, []types.DiskChangeExtent{{Start: 2 << 20, Length: 65536}}},
		{id1, s3, []types.DiskChangeExtent{{Start: 0, Length: 131072}, {Start: 2 << 20, Length: 65536}, {Start: 3 << 20, Length: 65536}, {Start: 4 << 20, Length: 512}}},
		{id1, s1, nil},
	} {
		got, _, err := areas(t, c, vm, tc.at, tc.since)
		if err != nil || !equalExtents(got, tc.want) {
			t.Errorf("since %s at %s: %v, %v, want %v", tc.since, tc.at.Value, got, err, tc.want)
		}
	}
	got, _, err := areas(t, c, vm, s1, "*")
	if want := []types.DiskChangeExtent{{Start: 0, Length: 1 << 20}, {Start: 2 << 20, Length: 1 << 20}, {Start: 4 << 20, Length: 512}}; err != nil || !equalExtents(got, want) {
		t.Errorf("allocated: %v, %v", got, err)
	}
	for _, bad := range []string{"", "nonsense", id1 + "9", "00/1"} {
		if _, _, err := areas(t, c, vm, s2, bad); !fault.Is(err, &types.FileFault{}) {
			t.Errorf("change id %q: %v, want FileFault", bad, err)
		}
	}
	if _, _, err := areas(t, c, vm, s1, id2); !fault.Is(err, &types.FileFault{}) {
		t.Errorf("a change id after the snapshot: %v", err)
	}
}

func equalExtents(a, b []types.DiskChangeExtent) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestChangedAreasComeInPages(t *testing.T) {
	vms := one()
	vms[0].Disks[0] = vcsim.Disk{Size: 16 << 20}
	s := start(t, vcsim.Options{VMs: vms})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	s1 := snapshot(t, vm, "s1")
	for i := range 100 {
		write(t, s, int64(i)*131072, 1, 1)
	}
	s2 := snapshot(t, vm, "s2")
	n, pages := 0, 0
	for off := int64(0); off < 16<<20; pages++ {
		res, err := methods.QueryChangedDiskAreas(t.Context(), c.Client, &types.QueryChangedDiskAreas{
			This: vm.Reference(), Snapshot: &s2, DeviceKey: 2000, StartOffset: off, ChangeId: changeID(t, c, s1),
		})
		if err != nil {
			t.Fatal(err)
		}
		n += len(res.Returnval.ChangedArea)
		off += res.Returnval.Length
	}
	if n != 100 || pages != 2 {
		t.Errorf("%d areas on %d pages", n, pages)
	}
}

func TestTrackingOffForgetsChangeIDs(t *testing.T) {
	s := start(t, vcsim.Options{VMs: one()})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	id := changeID(t, c, snapshot(t, vm, "s1"))
	for _, on := range []bool{false, true} {
		task, err := vm.Reconfigure(t.Context(), types.VirtualMachineConfigSpec{ChangeTrackingEnabled: &on})
		if err != nil {
			t.Fatal(err)
		}
		if err := task.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		ref := snapshot(t, vm, "s")
		if has := changeID(t, c, ref) != ""; has != on {
			t.Errorf("tracking %v: change id %q", on, changeID(t, c, ref))
		}
		if _, _, err := areas(t, c, vm, ref, id); !fault.Is(err, &types.FileFault{}) {
			t.Errorf("tracking %v: the old change id gives %v", on, err)
		}
	}
}

// Snapshots come and go without a trace on the datastore, and the layout names
// files that are there.
func TestSnapshotsLeaveTheFilesAlone(t *testing.T) {
	dir := t.TempDir()
	s := start(t, vcsim.Options{VMs: one(), Dir: dir})
	c := login(t, s)
	vm := machine(t, c, "/DC/vm/vm-a")
	files := func() []string {
		var names []string
		entries, err := os.ReadDir(filepath.Join(dir, "datastores", "vmfs-01", "vm-a"))
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			names = append(names, e.Name())
		}
		return names
	}
	before := files()
	for range 2 {
		a, b, d := snapshot(t, vm, "a"), snapshot(t, vm, "b"), snapshot(t, vm, "d")
		write(t, s, 0, 10, 1)
		p := properties(t, vm)
		byKey := make(map[int32]string)
		for _, f := range p.LayoutEx.File {
			byKey[f.Key] = f.Name
		}
		for i, unit := range p.LayoutEx.Disk[0].Chain {
			for _, k := range unit.FileKey {
				if want := []string{"/vm-a-0", "/vm-a-0", "/vm-a-0", "/vm-a"}; len(byKey) < 8 || !strings.Contains(byKey[k], want[min(i, 3)]) {
					t.Errorf("layer %d of the layout is %q", i, byKey[k])
				}
			}
		}
		for i, l := range p.LayoutEx.Snapshot {
			if want := fmt.Sprintf("[vmfs-01] vm-a/vm-a-Snapshot%d.vmsn", i+1); byKey[l.DataKey] != want {
				t.Errorf("snapshot %d has state file %q", i, byKey[l.DataKey])
			}
		}
		for _, ref := range []types.ManagedObjectReference{b, d, a} {
			if err := removeSnapshot(t, vm, ref); err != nil {
				t.Fatal(err)
			}
		}
		if after := files(); !slices.Equal(before, after) {
			t.Errorf("files before %q, after %q", before, after)
		}
	}
}

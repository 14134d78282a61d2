package interop_test

import (
	"context"
	"testing"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/ovf/importer"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// TestVcsimImports imports an archive into govmomi's vCenter simulator, by the
// code of `govc import.ova`: the VM that comes out has the hardware that went in.
func TestVcsimImports(t *testing.T) {
	e := newExport(t, 1<<20, 2<<20)
	e.machine.Name, e.machine.CPUs = "web <01> & Söhne", 4
	e.machine.Disks[1].Controller, e.machine.Disks[1].Bus = "lsisas", 1
	e.begin(t)
	for e.writer.Done() < 2 {
		e.copyDisk(t, nil)
	}
	e.finish(t)

	simulator.Test(func(ctx context.Context, c *vim25.Client) {
		finder := find.NewFinder(c)
		dc, err := finder.DefaultDatacenter(ctx)
		must(t, err)
		finder.SetDatacenter(dc)
		store, err := finder.DefaultDatastore(ctx)
		must(t, err)
		pool, err := finder.ResourcePool(ctx, "DC0_C0/Resources")
		must(t, err)
		folders, err := dc.Folders(ctx)
		must(t, err)
		imp := importer.Importer{
			Log:    func(s string) (int, error) { return len(s), nil },
			Client: c, Finder: finder, Datacenter: dc, Datastore: store, ResourcePool: pool, Folder: folders.VmFolder,
			Archive: &importer.TapeArchive{Path: e.file.Name(), Opener: importer.Opener{Client: c}},
		}
		ref, err := imp.Import(ctx, "*.ovf", importer.Options{})
		must(t, err)
		var vm mo.VirtualMachine
		must(t, object.NewVirtualMachine(c, *ref).Properties(ctx, *ref, []string{"config"}, &vm))
		if vm.Config.Name != e.machine.Name || vm.Config.Hardware.NumCPU != 4 || vm.Config.Hardware.MemoryMB != 2048 {
			t.Errorf("%q, %d CPUs, %d MB", vm.Config.Name, vm.Config.Hardware.NumCPU, vm.Config.Hardware.MemoryMB)
		}
		disks := object.VirtualDeviceList(vm.Config.Hardware.Device).SelectByType((*types.VirtualDisk)(nil))
		if len(disks) != 2 || disks[0].(*types.VirtualDisk).CapacityInKB != 1024 || disks[1].(*types.VirtualDisk).CapacityInKB != 2048 {
			t.Errorf("disks %+v", disks)
		}
	})
}

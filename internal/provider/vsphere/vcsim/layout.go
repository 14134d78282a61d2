package vcsim

import (
	"regexp"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// deltaFlat matches the extent name that the simulator derives for a delta;
// on VMFS 6 it ends in -sesparse.vmdk.
var deltaFlat = regexp.MustCompile(`(-[0-9]{6})-flat\.vmdk$`)

// refreshLayout lets the simulator list the machine's files again, and then
// puts in what they take on the datastore instead of their length. The caller
// holds the machine's lock.
func (s *Server) refreshLayout(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	vm.RefreshStorageInfo(ctx, nil)
	var committed int64
	at := make(map[string]int)
	var files []types.VirtualMachineFileLayoutExFileInfo
	for _, f := range vm.LayoutEx.File {
		f.Name = deltaFlat.ReplaceAllString(f.Name, "$1-sesparse.vmdk")
		local, err := s.localPath(f.Name)
		if err != nil {
			continue
		}
		if i, ok := at[f.Name]; ok { // the later key is the one that the disk layout names
			files[i].Key = f.Key
			continue
		}
		at[f.Name] = len(files)
		if strings.HasSuffix(f.Name, "-flat.vmdk") || strings.HasSuffix(f.Name, "-sesparse.vmdk") {
			f.Type = string(types.VirtualMachineFileLayoutExFileTypeDiskExtent)
			f.Size = allocated(local)
			f.UniqueSize = f.Size
		}
		committed += f.Size
		files = append(files, f)
	}
	vm.LayoutEx.File = files
	var provisioned int64
	for _, dev := range vm.Config.Hardware.Device {
		if d, _ := flatDisk(dev); d != nil {
			provisioned += d.CapacityInBytes
		}
	}
	if vm.Summary.Storage != nil {
		vm.Summary.Storage.Committed = committed
		vm.Summary.Storage.Unshared = committed
		vm.Summary.Storage.Uncommitted = max(0, provisioned-committed)
	}
	for i := range vm.Storage.PerDatastoreUsage {
		u := &vm.Storage.PerDatastoreUsage[i]
		u.Committed, u.Unshared, u.Uncommitted = committed, committed, max(0, provisioned-committed)
	}
}

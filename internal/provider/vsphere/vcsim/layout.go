package vcsim

import (
	"errors"
	"os"
	"regexp"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// deltaFlat matches the extent name that the simulator derives for a delta;
// on VMFS 6 it ends in -sesparse.vmdk.
var deltaFlat = regexp.MustCompile(`(-[0-9]{6})-flat\.vmdk$`)

// fileKeys gives the files of a machine, by datastore path, keys that last. The
// simulator numbers them anew whenever it looks.
type fileKeys map[string]int32

// of returns the key of a file, a new one if it has none.
func (k fileKeys) of(name string) int32 {
	key, ok := k[name]
	if !ok {
		key = int32(len(k))
		k[name] = key
	}
	return key
}

// taken is a snapshot that a client made.
type taken struct {
	name string
	vmsn string // datastore path of its state file
}

// refreshLayout lets the simulator list the machine's files again, and then
// puts in lasting keys, and what files take on the datastore instead of their
// length. The caller holds the machine's lock.
func (s *Server) refreshLayout(ctx *simulator.Context, vm *simulator.VirtualMachine) {
	vm.RefreshStorageInfo(ctx, nil)
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := s.layouts[vm.Self]
	if keys == nil {
		keys = make(fileKeys)
		s.layouts[vm.Self] = keys
	}
	committed := s.layoutFiles(vm, keys)
	for i := range vm.LayoutEx.Snapshot {
		l := &vm.LayoutEx.Snapshot[i]
		l.DataKey, l.MemoryKey = -1, -1
		if t, ok := s.made[l.Key]; ok {
			l.DataKey = keys.of(t.vmsn)
		}
	}
	var provisioned int64
	for _, dev := range vm.Config.Hardware.Device {
		if d, _ := flatDisk(dev); d != nil {
			provisioned += d.CapacityInBytes
		}
	}
	uncommitted := max(0, provisioned-committed)
	if sum := vm.Summary.Storage; sum != nil {
		sum.Committed, sum.Unshared, sum.Uncommitted = committed, committed, uncommitted
	}
	for i := range vm.Storage.PerDatastoreUsage {
		u := &vm.Storage.PerDatastoreUsage[i]
		u.Committed, u.Unshared, u.Uncommitted = committed, committed, uncommitted
	}
}

// layoutFiles corrects the list of files and the disks that name them, and
// returns what all files take.
func (s *Server) layoutFiles(vm *simulator.VirtualMachine, keys fileKeys) (committed int64) {
	lasting := make(map[int32]int32) // by the simulator's key
	listed := make(map[string]bool)
	var files []types.VirtualMachineFileLayoutExFileInfo
	for _, f := range vm.LayoutEx.File {
		f.Name = deltaFlat.ReplaceAllString(f.Name, "$1-sesparse.vmdk")
		local, err := s.localPath(f.Name)
		if err != nil {
			continue
		}
		lasting[f.Key] = keys.of(f.Name)
		if listed[f.Name] {
			continue
		}
		listed[f.Name] = true
		f.Key = keys.of(f.Name)
		if strings.HasSuffix(f.Name, "-flat.vmdk") || strings.HasSuffix(f.Name, "-sesparse.vmdk") {
			f.Type = string(types.VirtualMachineFileLayoutExFileTypeDiskExtent)
			f.Size = allocated(local)
			f.UniqueSize = f.Size
		}
		committed += f.Size
		files = append(files, f)
	}
	vm.LayoutEx.File = files
	for _, d := range vm.LayoutEx.Disk {
		for _, unit := range d.Chain {
			for i, k := range unit.FileKey {
				unit.FileKey[i] = lasting[k]
			}
		}
	}
	return committed
}

// keepFiles makes the simulator's removal of a snapshot leave all files alone:
// it would take some by keys that are no longer theirs. The caller holds the
// machine's lock.
func keepFiles(vm *simulator.VirtualMachine) {
	for i := range vm.LayoutEx.Snapshot {
		vm.LayoutEx.Snapshot[i].DataKey = -1
	}
}

// note remembers a new snapshot and its state file, which the simulator has
// just listed. The caller holds the machine's lock.
func (s *Server) note(vm *simulator.VirtualMachine, ref types.ManagedObjectReference, name string) {
	t := taken{name: name}
	for _, l := range vm.LayoutEx.Snapshot {
		for _, f := range vm.LayoutEx.File {
			if l.Key == ref && f.Key == l.DataKey {
				t.vmsn = f.Name
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made[ref] = t
}

// forget removes the state files of removed snapshots.
func (s *Server) forget(refs []types.ManagedObjectReference) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, ref := range refs {
		if t, ok := s.made[ref]; ok && t.vmsn != "" {
			local, err := s.localPath(t.vmsn)
			if err == nil {
				err = os.Remove(local)
			}
			errs = append(errs, err)
		}
		delete(s.made, ref)
	}
	return errors.Join(errs...)
}

package vcsim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"strings"

	"github.com/vmware/govmomi/find"
	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/types"
)

// AddVM puts a machine with its disks into the inventory and powers it on if
// it says so. It may be called while clients are connected, except for a
// machine on object storage.
func (s *Server) AddVM(ctx context.Context, v VM) error {
	s.adding.Lock()
	defer s.adding.Unlock()
	if err := v.check(); err != nil {
		return err
	}
	folder, err := s.folder(ctx, path.Dir(v.Path))
	if err != nil {
		return fmt.Errorf("add %s: %w", v.Path, err)
	}
	vm, err := s.createVM(ctx, folder, v)
	if err != nil {
		return fmt.Errorf("add %s: %w", v.Path, err)
	}
	if err := s.fillDisks(vm, v); err != nil {
		return fmt.Errorf("add %s: %w", v.Path, err)
	}
	if !v.On {
		return nil
	}
	task, err := object.NewVirtualMachine(s.client, vm.Self).PowerOn(ctx)
	if err != nil {
		return fmt.Errorf("power on %s: %w", v.Path, err)
	}
	if err := task.Wait(ctx); err != nil {
		return fmt.Errorf("power on %s: %w", v.Path, err)
	}
	return nil
}

// folder returns the VM folder of that path below /DC/vm and makes what lacks.
func (s *Server) folder(ctx context.Context, dir string) (*object.Folder, error) {
	folder := s.estate.folders.VmFolder
	if dir == "." {
		return folder, nil
	}
	at := path.Join("/", datacenterName, "vm")
	for name := range strings.SplitSeq(dir, "/") {
		at = path.Join(at, name)
		next, err := find.NewFinder(s.client).Folder(ctx, at)
		if _, missing := errors.AsType[*find.NotFoundError](err); missing {
			next, err = folder.CreateFolder(ctx, name)
		}
		if err != nil {
			return nil, fmt.Errorf("folder %s: %w", at, err)
		}
		folder = next
	}
	return folder, nil
}

// createVM makes the machine with empty disks.
func (s *Server) createVM(ctx context.Context, folder *object.Folder, v VM) (*simulator.VirtualMachine, error) {
	hostName := cmp.Or(v.Host, defaultHost)
	host, ok := s.estate.hosts[hostName]
	if !ok {
		return nil, fmt.Errorf("there is no host %q", hostName)
	}
	pool, err := host.ResourcePool(ctx)
	if err != nil {
		return nil, fmt.Errorf("host %s: %w", hostName, err)
	}
	vm, err := s.runCreateVM(folder.Reference(), &types.CreateVM_Task{
		This: folder.Reference(), Config: v.configSpec(), Pool: pool.Reference(), Host: new(host.Reference()),
	})
	if err != nil {
		return nil, fmt.Errorf("create: %w", err)
	}
	s.context().WithLock(vm, func() {
		// The simulator adds every device twice if it has to escape a name, so
		// the machine was made under the name of its files.
		vm.Name = path.Base(v.Path)
		vm.Config.Name = vm.Name
		vm.Summary.Config.Name = vm.Name
	})
	return vm, nil
}

// runCreateVM runs the task without a property collector, which makes thousands
// of machines several times faster.
func (s *Server) runCreateVM(folder types.ManagedObjectReference, req *types.CreateVM_Task) (*simulator.VirtualMachine, error) {
	f, ok := s.registry.Get(folder).(*simulator.Folder)
	if !ok {
		return nil, fmt.Errorf("there is no folder %s", folder)
	}
	ctx := s.context()
	body, ok := f.CreateVMTask(ctx, req).(*methods.CreateVM_TaskBody)
	if !ok || body.Res == nil {
		return nil, errors.New("the simulator refuses")
	}
	result, fault := inner(ctx, body.Res.Returnval)
	if fault != nil {
		return nil, fmt.Errorf("the simulator refuses: %T", fault)
	}
	ref, ok := result.(types.ManagedObjectReference)
	if !ok {
		return nil, errors.New("the task has no result")
	}
	return s.vm(ref), nil
}

// dir returns the machine's directory on its datastore.
func (v VM) dir() string {
	name := v.base()
	if folder := path.Dir(v.Path); folder != "." {
		// Names repeat in different folders, directories of a datastore do not.
		name += "." + strings.ReplaceAll(folder, "/", ".")
	}
	return name
}

func (v VM) store() string { return cmp.Or(v.Datastore, defaultStore) }

// file returns the datastore path of a file in the machine's directory.
func (v VM) file(name string) string {
	return (&object.DatastorePath{Datastore: v.store(), Path: path.Join(v.dir(), name)}).String()
}

// base is the stem of the machine's file names: ESXi replaces what they must
// not hold.
func (v VM) base() string {
	return strings.NewReplacer("%2f", "_", "%5c", "_", "%25", "_").Replace(path.Base(v.Path))
}

func (v VM) nvramName() string { return v.base() + ".nvram" }

func (v VM) configSpec() types.VirtualMachineConfigSpec {
	spec := types.VirtualMachineConfigSpec{
		Name:         v.base(),
		GuestId:      cmp.Or(v.GuestID, "debian12_64Guest"),
		Version:      "vmx-19",
		Files:        &types.VirtualMachineFileInfo{VmPathName: v.file(v.base() + ".vmx")},
		NumCPUs:      cmp.Or(v.CPUs, 1),
		MemoryMB:     cmp.Or(v.MemoryMB, 512),
		DeviceChange: v.devices(),
		ExtraConfig: []types.BaseOptionValue{
			&types.OptionValue{Key: nvramKey, Value: v.nvramName()},
		},
		Firmware: string(types.GuestOsDescriptorFirmwareTypeBios),
	}
	if v.EFI {
		spec.Firmware = string(types.GuestOsDescriptorFirmwareTypeEfi)
		spec.BootOptions = &types.VirtualMachineBootOptions{EfiSecureBootEnabled: new(true)}
	}
	if v.CBT {
		spec.ChangeTrackingEnabled = new(true)
	}
	return spec
}

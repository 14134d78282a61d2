package vcsim

import (
	"fmt"
	"path"
	"strings"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"
)

// vm returns a machine by its reference, or nil.
func (s *Server) vm(ref types.ManagedObjectReference) *simulator.VirtualMachine {
	vm, _ := s.registry.Get(ref).(*simulator.VirtualMachine)
	return vm
}

// vmPath returns the path below /DC/vm.
func (s *Server) vmPath(vm *simulator.VirtualMachine) string {
	if vm == nil {
		return ""
	}
	names := vm.Name
	for at := vm.Parent; at != nil; {
		parent, ok := s.registry.Get(*at).(mo.Entity)
		if !ok || parent.Entity().Self == s.estate.folders.VmFolder.Reference() {
			break
		}
		names = path.Join(parent.Entity().Name, names)
		at = parent.Entity().Parent
	}
	return names
}

// relative takes /DC/vm off an inventory path.
func relative(vmPath string) string {
	return strings.TrimPrefix(path.Clean(vmPath), path.Join("/", datacenterName, "vm")+"/")
}

// find returns a machine by its inventory path ("/DC/vm/web-01" or "web-01").
func (s *Server) find(vmPath string) (*simulator.VirtualMachine, error) {
	want := relative(vmPath)
	for _, e := range s.registry.All("VirtualMachine") {
		if vm, ok := e.(*simulator.VirtualMachine); ok && s.vmPath(vm) == want {
			return vm, nil
		}
	}
	return nil, fmt.Errorf("the simulator has no VM %q", vmPath)
}

// image returns the content of a disk of a machine.
func (s *Server) image(vm types.ManagedObjectReference, d *types.VirtualDisk, b *types.VirtualDiskFlatVer2BackingInfo) (*image, error) {
	return s.openDisk(baseOf(b).FileName, d.CapacityInBytes, vm, d.Key)
}

// openDisk returns the disk with a base descriptor. It opens it if it was not
// asked for so far: a disk that is empty, or that a client made.
func (s *Server) openDisk(name string, size int64, vm types.ManagedObjectReference, key int32) (*image, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m, ok := s.images[name]; ok {
		return m, nil
	}
	local, err := s.localPath(flatName(name))
	if err != nil {
		return nil, err
	}
	m, err := openImage(name, local, size)
	if err != nil {
		return nil, err
	}
	m.owner, m.key = vm, key
	s.images[name] = m
	return m, nil
}

// diskOf returns the content of a machine's disk by its device key.
func (s *Server) diskOf(vmPath string, key int32) (*simulator.VirtualMachine, *image, error) {
	vm, err := s.find(vmPath)
	if err != nil {
		return nil, nil, err
	}
	var m *image
	ctx := s.context()
	ctx.WithLock(vm, func() {
		for _, dev := range vm.Config.Hardware.Device {
			if d, b := flatDisk(dev); d != nil && d.Key == key {
				m, err = s.image(vm.Self, d, b)
			}
		}
	})
	if err == nil && m == nil {
		err = fmt.Errorf("%s has no disk %d with content", vmPath, key)
	}
	return vm, m, err
}

package vcsim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// Content is a virtual disk as it is now, or as a snapshot froze it. It reads
// through to the simulator's disk; after the snapshot is removed, or the server
// closed, reading fails.
type Content struct {
	m    *image
	snap *types.ManagedObjectReference
}

// Disk returns the content of a machine's disk now.
func (s *Server) Disk(vmPath string, key int32) (*Content, error) {
	_, m, err := s.diskOf(vmPath, key)
	if err != nil {
		return nil, err
	}
	return &Content{m: m}, nil
}

// FrozenDisk returns the content of a machine's disk in the snapshot of that
// name.
func (s *Server) FrozenDisk(vmPath, snapshot string, key int32) (*Content, error) {
	vm, m, err := s.diskOf(vmPath, key)
	if err != nil {
		return nil, err
	}
	var ref *types.ManagedObjectReference
	s.context().WithLock(vm, func() { ref = snapshotNamed(snapshotTree(vm), snapshot) })
	if ref == nil {
		return nil, fmt.Errorf("%s has no snapshot %q", vmPath, snapshot)
	}
	return &Content{m: m, snap: ref}, nil
}

func snapshotNamed(tree []types.VirtualMachineSnapshotTree, name string) *types.ManagedObjectReference {
	for i := range tree {
		if tree[i].Name == name {
			return &tree[i].Snapshot
		}
		if ref := snapshotNamed(tree[i].ChildSnapshotList, name); ref != nil {
			return ref
		}
	}
	return nil
}

// Size returns the capacity in bytes.
func (c *Content) Size() int64 { return c.m.size }

// ReadAt implements io.ReaderAt.
func (c *Content) ReadAt(p []byte, off int64) (int, error) { return c.m.readAt(c.snap, p, off) }

// WriteFile writes the content to a new sparse raw file.
func (c *Content) WriteFile(path string) (err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write raw image: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err := c.m.allocation(c.snap)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for block, n := range data.runs(0) {
		off := block * blockSize
		r := io.NewSectionReader(c, off, min(n*blockSize, c.m.size-off))
		if _, err := io.CopyBuffer(io.NewOffsetWriter(f, off), struct{ io.Reader }{r}, buf); err != nil {
			return fmt.Errorf("write raw image: %w", err)
		}
	}
	if err := f.Truncate(c.m.size); err != nil {
		return fmt.Errorf("write raw image: %w", err)
	}
	return nil
}

// GuestWrite writes to a disk of a running machine, as its guest does.
func (s *Server) GuestWrite(vmPath string, key int32, off int64, p []byte) error {
	vm, m, err := s.diskOf(vmPath, key)
	if err != nil {
		return err
	}
	s.context().WithLock(vm, func() {
		if vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOn {
			err = fmt.Errorf("%s is not running, it has no guest that could write", vmPath)
			return
		}
		err = m.write(p, off)
	})
	return err
}

// Leftovers lists what clients made and have not removed: snapshots and open
// leases, in no particular language.
func (s *Server) Leftovers() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var left []string
	for ref, made := range s.made {
		on := ""
		if snapshot, ok := s.registry.Get(ref).(*simulator.VirtualMachineSnapshot); ok {
			on = s.vmPath(s.vm(snapshot.Vm))
		}
		left = append(left, fmt.Sprintf("snapshot %q of %s (%s)", made.name, on, ref.Value))
	}
	for ref, l := range s.leases {
		left = append(left, fmt.Sprintf("lease on %s (%s)", s.vmPath(s.vm(l.vm)), ref.Value))
	}
	slices.Sort(left)
	return left
}

package vcsim

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"

	"github.com/hypersdk/hypersdk/internal/fault"
)

// size returns the capacity; that of a raw image with Size 0 is its length,
// rounded up to a sector.
func (d Disk) size() int64 {
	if d.Size > 0 || d.Raw == "" {
		return d.Size
	}
	st, err := os.Stat(d.Raw)
	if err != nil {
		return 0 // filling it reports the error
	}
	return (st.Size() + 511) / 512 * 512
}

// check refuses a machine that cannot be built. Kind Invalid.
func (v VM) check() error {
	refuse := func(disk int, why string) error {
		return fault.Newf(fault.Invalid, codeVM, "correct its description", "the VM %q cannot be simulated: disk %d %s", v.Path, disk+1, why)
	}
	for i, d := range v.Disks {
		if d.Raw != "" {
			if _, err := os.Stat(d.Raw); err != nil {
				return refuse(i, "has no raw image: "+err.Error())
			}
		}
		if size := d.size(); size <= 0 || size%512 != 0 {
			return refuse(i, fmt.Sprintf("has a capacity of %d bytes, not a positive multiple of 512", size))
		}
		if _, ok := controllers[cmp.Or(d.Controller, pvscsi)]; !ok {
			return refuse(i, fmt.Sprintf("is on an unknown controller %q", d.Controller))
		}
	}
	return nil
}

// fillDisks writes the content of a new machine's files. Empty disks are opened
// when they are first asked for.
func (s *Server) fillDisks(vm *simulator.VirtualMachine, v VM) error {
	for i, d := range v.Disks {
		if d.RDM {
			continue
		}
		if err := s.fillDisk(vm, v, i); err != nil {
			return fmt.Errorf("disk %d: %w", i+1, err)
		}
	}
	size := 8684 // as ESXi writes it for a BIOS machine
	if v.EFI {
		size = 270840
	}
	nvram := make([]byte, size)
	var seed [32]byte
	copy(seed[:], v.Path)
	_, _ = rand.NewChaCha8(seed).Read(nvram) // never fails
	copy(nvram, "MRVN")
	if err := s.writeFile(v.file(v.nvramName()), nvram); err != nil {
		return err
	}
	ctx := s.context()
	ctx.WithLock(vm, func() { s.refreshLayout(ctx, vm) })
	return nil
}

// fillDisk writes descriptor and content of a new machine's i-th disk.
func (s *Server) fillDisk(vm *simulator.VirtualMachine, v VM, i int) error {
	d, name := v.Disks[i], v.diskFile(i)
	size := d.size()
	if err := s.writeFile(name, descriptorFile(path.Base(flatName(name)), size, !d.Thick)); err != nil {
		return err
	}
	if d.Fill == nil && d.Raw == "" {
		return nil
	}
	m, err := s.openDisk(name, size, vm.Self, int32(firstDiskKey+i))
	if err != nil {
		return err
	}
	if d.Raw != "" {
		return m.copyFrom(d.Raw)
	}
	marker, err := d.Fill(m.layers[0].f, size)
	if err != nil || marker == "" {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.markers[v.Path] = marker
	return nil
}

// copyFrom makes the content that of a raw image file.
func (m *image) copyFrom(path string) (err error) {
	src, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open raw image: %w", err)
	}
	defer func() { err = errors.Join(err, src.Close()) }()
	st, err := src.Stat()
	if err != nil {
		return fmt.Errorf("open raw image: %w", err)
	}
	if st.Size() > m.size {
		return fmt.Errorf("%s has %d bytes, more than the disk's %d", path, st.Size(), m.size)
	}
	if err := copySparse(m.layers[0].f, src, st.Size()); err != nil {
		return err
	}
	if err := m.layers[0].f.Truncate(m.size); err != nil {
		return fmt.Errorf("copy %s: %w", path, err)
	}
	return nil
}

// flatName returns the datastore path of a descriptor's extent file.
func flatName(descriptor string) string {
	return strings.TrimSuffix(descriptor, ".vmdk") + "-flat.vmdk"
}

// descriptorFile is the text of a flat disk's descriptor.
func descriptorFile(flat string, size int64, thin bool) []byte {
	text := fmt.Sprintf(`# Disk DescriptorFile
version=1
encoding="UTF-8"
CID=fffffffe
parentCID=ffffffff
createType="vmfs"

# Extent description
RW %d VMFS %q

# The Disk Data Base
#DDB

ddb.adapterType = "lsilogic"
ddb.geometry.cylinders = "%d"
ddb.geometry.heads = "255"
ddb.geometry.sectors = "63"
ddb.virtualHWVersion = "19"
`, size/512, flat, size/512/(255*63))
	if thin {
		text += "ddb.thinProvisioned = \"1\"\n"
	}
	return []byte(text)
}

// localPath returns where a datastore path lies here.
func (s *Server) localPath(name string) (string, error) {
	var p object.DatastorePath
	if !p.FromString(name) || !filepath.IsLocal(p.Path) {
		return "", fmt.Errorf("%q is no datastore path: %w", name, fs.ErrInvalid)
	}
	store, ok := s.estate.stores[p.Datastore]
	if !ok {
		return "", fmt.Errorf("there is no datastore %q: %w", p.Datastore, fs.ErrNotExist)
	}
	return filepath.Join(store.Summary.Url, p.Path), nil
}

// writeFile replaces a small file on a datastore.
func (s *Server) writeFile(name string, data []byte) error {
	local, err := s.localPath(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(local, data, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

package vcsim

import (
	"io"
	"os"
	"strings"
	"sync"

	"github.com/vmware/govmomi/object"
	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/types"
)

// flatFile is the flat extent file of a machine's disk.
type flatFile struct {
	vm     *simulator.VirtualMachine
	m      *image
	volume string // type of the datastore
}

// flat finds the disk whose flat file a datastore path is.
func (s *Server) flat(name string) (*flatFile, site) {
	stem, ok := strings.CutSuffix(name, "-flat.vmdk")
	if !ok {
		return nil, site{}
	}
	m := s.imageNamed(stem + ".vmdk")
	if m == nil {
		return nil, site{}
	}
	vm := s.vm(m.owner)
	var p object.DatastorePath
	if vm == nil || !p.FromString(name) {
		return nil, site{}
	}
	volume := s.estate.stores[p.Datastore].Summary.Type
	return &flatFile{vm: vm, m: m, volume: volume}, site{vm: s.vmPath(vm), disk: m.key}
}

// imageNamed returns the content behind a base descriptor. It looks through all
// machines for a disk that nobody asked for so far.
func (s *Server) imageNamed(descriptor string) *image {
	s.mu.Lock()
	m, ok := s.images[descriptor]
	s.mu.Unlock()
	if ok {
		return m
	}
	for _, e := range s.registry.All("VirtualMachine") {
		vm, ok := e.(*simulator.VirtualMachine)
		if !ok {
			continue
		}
		s.context().WithLock(vm, func() { m = s.imageOf(vm, descriptor) })
		if m != nil {
			return m
		}
	}
	return nil
}

// imageOf is imageNamed for one machine. The caller holds its lock.
func (s *Server) imageOf(vm *simulator.VirtualMachine, descriptor string) *image {
	if vm.Config == nil {
		return nil
	}
	for _, dev := range vm.Config.Hardware.Device {
		d, b := flatDisk(dev)
		if d == nil || baseOf(b).FileName != descriptor {
			continue
		}
		m, err := s.image(vm.Self, d, b)
		if err != nil {
			return nil
		}
		return m
	}
	return nil
}

// baseOf returns the lowest backing of a chain.
func baseOf(b *types.VirtualDiskFlatVer2BackingInfo) *types.VirtualDiskFlatVer2BackingInfo {
	for b.Parent != nil {
		b = b.Parent
	}
	return b
}

// locked tells why ESXi would refuse to open the file, or "": a running machine
// holds the top of each chain exclusively, and object storage has no flat files.
func (f *flatFile) locked(ctx *simulator.Context) (why string) {
	if f.volume != vmfs {
		return "the datastore gives no access to the underlying vmdk files"
	}
	ctx.WithLock(f.vm, func() {
		if f.vm.Runtime.PowerState != types.VirtualMachinePowerStatePoweredOff && len(f.m.chain()) == 1 {
			why = "failed to open the file: it is locked by a running virtual machine"
		}
	})
	return why
}

// chunks are buffers for reading disks, of about what a client asks for.
var chunks sync.Pool // of *[]byte

func getChunk() *[]byte {
	if b, ok := chunks.Get().(*[]byte); ok {
		return b
	}
	b := make([]byte, 1<<20)
	return &b
}

// sendBase copies a part of the base layer.
func (s *Server) sendBase(w io.Writer, m *image, e extent, at site) error {
	buf := getChunk()
	defer chunks.Put(buf)
	for e.n > 0 {
		p := (*buf)[:min(int64(len(*buf)), e.n)]
		if err := m.readBase(p, e.off); err != nil {
			return err
		}
		if f, hit := s.corrupted(at, e.off, int64(len(p))); hit {
			p[f.After-e.off] ^= 0x40
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
		e.off += int64(len(p))
		e.n -= int64(len(p))
	}
	return nil
}

// corrupted takes the fault that flips a byte in [off, off+n), if there is one.
func (s *Server) corrupted(at site, off, n int64) (Fault, bool) {
	return s.faults.takeIf(CorruptContent, at, func(f *Fault) bool { return f.After >= off && f.After < off+n })
}

// readBase reads from the base layer.
func (m *image) readBase(p []byte, off int64) error {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.layers) == 0 {
		return errGone
	}
	return m.layers[0].read(p, off)
}

// stat describes the flat file.
func (m *image) stat() (os.FileInfo, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if len(m.layers) == 0 {
		return nil, errGone
	}
	return m.layers[0].f.Stat()
}

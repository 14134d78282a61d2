package vcsim

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vmware/govmomi/vim25/types"
)

// errGone tells that a frozen point in time is no more: its snapshot was
// removed.
var errGone = errors.New("the snapshot is gone")

// image is the content of one virtual disk: a chain of layers of which all but
// the last are frozen. All methods may be called concurrently.
//
// Layer 0 is the flat extent file of the datastore. A snapshot freezes the top
// layer and puts a delta over it, which takes the blocks that the guest writes
// from then on; removing the snapshot merges that delta down.
type image struct {
	size int64  // bytes
	name string // "[datastore] dir/disk.vmdk" of the base

	owner types.ManagedObjectReference // the machine
	key   int32                        // the device key in it

	mu     sync.RWMutex
	layers []*layer
	frozen map[types.ManagedObjectReference]*layer // snapshot → the layer that it froze
	rev    uint64                                  // of the content; every guest write makes a new one
	epoch  uint64                                  // grows when layers are pushed or merged
	serial int                                     // of the last delta file
	cbt    *tracker                                // nil: changed block tracking is off
}

// layer is one file of the chain. The base holds everything (has is nil), a
// delta holds the blocks that has marks, each at its own offset.
type layer struct {
	name string // datastore path of its descriptor
	f    *os.File
	has  bitmap
	rev  uint64 // of the image's content when this layer was frozen
}

// openImage opens the flat extent file at path as a disk of size bytes. The
// file is extended to that length if it is shorter.
func openImage(name, path string, size int64) (*image, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open disk: %w", err)
	}
	if st, err := f.Stat(); err != nil || st.Size() < size {
		if err := errors.Join(err, f.Truncate(size)); err != nil {
			return nil, errors.Join(fmt.Errorf("open disk: %w", err), f.Close())
		}
	}
	return &image{
		size: size, name: name,
		layers: []*layer{{name: name, f: f}},
		frozen: make(map[types.ManagedObjectReference]*layer),
	}, nil
}

// close releases the files and leaves their content alone.
func (m *image) close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	var errs []error
	for _, l := range m.layers {
		errs = append(errs, l.f.Close())
	}
	m.layers = nil
	return errors.Join(errs...)
}

// depth returns how many layers, from the base, make up the content at a
// snapshot (nil: now). The caller holds mu.
func (m *image) depth(snap *types.ManagedObjectReference) (int, error) {
	if len(m.layers) == 0 {
		return 0, errGone
	}
	if snap == nil {
		return len(m.layers), nil
	}
	l, ok := m.frozen[*snap]
	if !ok {
		return 0, errGone
	}
	for i := range m.layers {
		if m.layers[i] == l {
			return i + 1, nil
		}
	}
	return 0, errGone
}

// readAt reads the content at a snapshot (nil: now), like io.ReaderAt.
func (m *image) readAt(snap *types.ManagedObjectReference, p []byte, off int64) (int, error) {
	if off < 0 || off >= m.size {
		return 0, io.EOF
	}
	var short error
	if int64(len(p)) > m.size-off {
		p, short = p[:m.size-off], io.EOF
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	depth, err := m.depth(snap)
	if err != nil {
		return 0, err
	}
	if err := m.read(depth, p, off); err != nil {
		return 0, err
	}
	return len(p), short
}

// read fills p from the lowest depth layers. The caller holds mu.
func (m *image) read(depth int, p []byte, off int64) error {
	if depth == 1 { // the common case: one read of the flat file
		return m.layers[0].read(p, off)
	}
	for len(p) > 0 {
		n := min(int64(len(p)), blockSize-off%blockSize)
		if err := m.holder(depth, off/blockSize).read(p[:n], off); err != nil {
			return err
		}
		p, off = p[n:], off+n
	}
	return nil
}

// holder returns the highest of the lowest depth layers that holds the block.
func (m *image) holder(depth int, block int64) *layer {
	for i := depth - 1; i > 0; i-- {
		if m.layers[i].has.has(block) {
			return m.layers[i]
		}
	}
	return m.layers[0]
}

func (l *layer) read(p []byte, off int64) error {
	if _, err := io.ReadFull(io.NewSectionReader(l.f, off, int64(len(p))), p); err != nil {
		return fmt.Errorf("read %s: %w", l.name, err)
	}
	return nil
}

// write changes the content now, as the guest does.
func (m *image) write(p []byte, off int64) error {
	if off < 0 || off > m.size-int64(len(p)) {
		return fmt.Errorf("write of %d bytes at %d is outside of %s", len(p), off, m.name)
	}
	if len(p) == 0 {
		return nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	top := m.layers[len(m.layers)-1]
	if top.has != nil {
		if err := m.copyUp(top, off, int64(len(p))); err != nil {
			return err
		}
	}
	if _, err := top.f.WriteAt(p, off); err != nil {
		return fmt.Errorf("write %s: %w", top.name, err)
	}
	if m.cbt != nil {
		m.cbt.mark(off, int64(len(p)))
	}
	m.rev++
	return nil
}

// copyUp brings every block that [off, off+n) touches into the top layer.
func (m *image) copyUp(top *layer, off, n int64) error {
	buf := make([]byte, blockSize)
	for block := off / blockSize; block*blockSize < off+n; block++ {
		if top.has.has(block) {
			continue
		}
		at := block * blockSize
		p := buf[:min(blockSize, m.size-at)]
		if err := m.read(len(m.layers)-1, p, at); err != nil {
			return err
		}
		if _, err := top.f.WriteAt(p, at); err != nil {
			return fmt.Errorf("write %s: %w", top.name, err)
		}
		top.has.set(block)
	}
	return nil
}

// allocation marks the blocks that hold data at a snapshot (nil: now).
func (m *image) allocation(snap *types.ManagedObjectReference) (bitmap, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	depth, err := m.depth(snap)
	if err != nil {
		return nil, err
	}
	all := newBitmap(m.size)
	for e, err := range dataExtents(m.layers[0].f, 0, m.size) {
		if err != nil {
			return nil, err
		}
		all.mark(e.off, e.n)
	}
	for _, l := range m.layers[1:depth] {
		all.merge(l.has)
	}
	return all, nil
}

// revision names the content at a snapshot (nil: now): equal revisions of one
// image are equal content.
func (m *image) revision(snap *types.ManagedObjectReference) (uint64, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	depth, err := m.depth(snap)
	if err != nil || depth == len(m.layers) {
		return m.rev, err
	}
	return m.layers[depth-1].rev, nil
}

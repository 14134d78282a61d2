package vcsim

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vmware/govmomi/vim25/types"
)

// deltaName returns the datastore path of the n-th delta's descriptor.
func (m *image) deltaName(n int) string {
	return fmt.Sprintf("%s-%06d.vmdk", strings.TrimSuffix(m.name, ".vmdk"), n)
}

// freeze takes the snapshot snap: the top layer stays as it is and a new delta
// takes the writes. It returns the delta's datastore path and the change id of
// the snapshot ("" without changed block tracking).
func (m *image) freeze(snap types.ManagedObjectReference) (delta, changeID string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	top := m.layers[len(m.layers)-1]
	base := strings.TrimSuffix(m.layers[0].f.Name(), "-flat.vmdk")
	f, err := os.OpenFile(fmt.Sprintf("%s-%06d-sesparse.vmdk", base, m.serial+1), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return "", "", fmt.Errorf("snapshot of %s: %w", m.name, err)
	}
	m.serial++
	m.epoch++
	top.rev = m.rev
	m.frozen[snap] = top
	delta = m.deltaName(m.serial)
	m.layers = append(m.layers, &layer{name: delta, f: f, has: newBitmap(m.size)})
	if m.cbt != nil {
		changeID = m.cbt.next(snap)
	}
	return delta, changeID, nil
}

// thaw removes a snapshot: the delta over the layer that it froze is merged
// into that layer. A snapshot that does not cover this disk is no error.
func (m *image) thaw(snap types.ManagedObjectReference) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	depth, err := m.depth(&snap)
	if err != nil {
		return nil // the disk was added after the snapshot
	}
	lower, upper := m.layers[depth-1], m.layers[depth]
	if err := m.mergeDown(lower, upper); err != nil {
		return err
	}
	delete(m.frozen, snap)
	for ref, l := range m.frozen {
		if l == upper {
			m.frozen[ref] = lower
		}
	}
	lower.rev = upper.rev
	m.layers = append(m.layers[:depth], m.layers[depth+1:]...)
	m.epoch++
	return errors.Join(upper.f.Close(), os.Remove(upper.f.Name()))
}

// mergeDown copies what upper holds into lower. The caller holds mu.
func (m *image) mergeDown(lower, upper *layer) error {
	buf := make([]byte, blockSize)
	for block, n := range upper.has.runs(0) {
		for ; n > 0; block, n = block+1, n-1 {
			at := block * blockSize
			p := buf[:min(blockSize, m.size-at)]
			if err := upper.read(p, at); err != nil {
				return err
			}
			if _, err := lower.f.WriteAt(p, at); err != nil {
				return fmt.Errorf("consolidate %s: %w", lower.name, err)
			}
		}
	}
	if lower.has != nil {
		lower.has.merge(upper.has)
	}
	return nil
}

// chain returns the datastore paths of the layers, from the top.
func (m *image) chain() []string {
	m.mu.RLock()
	defer m.mu.RUnlock()
	names := make([]string, 0, len(m.layers))
	for _, l := range slices.Backward(m.layers) {
		names = append(names, l.name)
	}
	return names
}

// generation grows with every change of the chain: a reader of the base file
// must not mix what it read before and after.
func (m *image) generation() uint64 {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.epoch
}

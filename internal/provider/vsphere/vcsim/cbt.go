package vcsim

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/google/uuid"
	"github.com/vmware/govmomi/vim25/types"
)

// errUnknownChange tells that a change id is not one of this disk's tracking:
// tracking was off in between, or the id is of another disk.
var errUnknownChange = errors.New("unknown change id")

// tracker is changed block tracking of one disk: every snapshot starts an
// epoch, and each epoch has a bitmap of what was written in it. The image's
// lock guards it.
type tracker struct {
	id     string
	size   int64
	epochs []bitmap // epochs[n]: written after change id n+1 was given out
	at     map[types.ManagedObjectReference]int
}

func newTracker(size int64) *tracker {
	u := uuid.New()
	id := fmt.Sprintf("% x-% x", u[:8], u[8:]) // as ESXi writes it
	return &tracker{id: id, size: size, at: make(map[types.ManagedObjectReference]int)}
}

// next starts an epoch at a snapshot and returns its change id.
func (t *tracker) next(snap types.ManagedObjectReference) string {
	t.epochs = append(t.epochs, newBitmap(t.size))
	t.at[snap] = len(t.epochs)
	return t.changeID(len(t.epochs))
}

func (t *tracker) changeID(n int) string { return t.id + "/" + strconv.Itoa(n) }

// mark records a write in the current epoch.
func (t *tracker) mark(off, n int64) {
	if len(t.epochs) > 0 {
		t.epochs[len(t.epochs)-1].mark(off, n)
	}
}

// since marks what was written after the change id was given out and before
// the snapshot (nil: up to now).
func (t *tracker) since(changeID string, snap *types.ManagedObjectReference) (bitmap, error) {
	id, num, ok := strings.Cut(changeID, "/")
	n, err := strconv.Atoi(num)
	if !ok || err != nil || id != t.id || n < 1 || n > len(t.epochs) {
		return nil, errUnknownChange
	}
	end := len(t.epochs)
	if snap != nil {
		at, ok := t.at[*snap]
		if !ok || at < n {
			return nil, errUnknownChange
		}
		end = at - 1
	}
	changed := newBitmap(t.size)
	for _, e := range t.epochs[n-1 : end] {
		changed.merge(e)
	}
	return changed, nil
}

// track turns changed block tracking on or off. Turning it on again starts
// anew: older change ids are unknown from then on.
func (m *image) track(on bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case !on:
		m.cbt = nil
	case m.cbt == nil:
		m.cbt = newTracker(m.size)
	}
}

// changed marks the blocks that differ between a change id and a snapshot
// (nil: now). "*" stands for everything that is allocated.
func (m *image) changed(changeID string, snap *types.ManagedObjectReference) (bitmap, error) {
	m.mu.RLock()
	cbt := m.cbt
	m.mu.RUnlock()
	if cbt == nil {
		return nil, errUnknownChange
	}
	if changeID == "*" {
		return m.allocation(snap)
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return cbt.since(changeID, snap)
}

package ova

import (
	"fmt"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// DiskWriter is the content of one disk of an OVA: a disk.Object with an offset
// of its own, valid until Close. Its writes may come in any order that the
// object below allows.
//
// After Restore it still holds what was written before the crash: a resumable
// target goes on from there, any other begins with Truncate(0).
type DiskWriter struct {
	w    *Writer
	base int64 // where the content begins in the archive
}

var _ disk.Object = (*DiskWriter)(nil)

// WriteAt writes content at off, counted from the disk's first byte.
func (d *DiskWriter) WriteAt(p []byte, off int64) (int, error) {
	if err := d.usable(off, int64(len(p))); err != nil {
		return 0, err
	}
	return d.w.obj.WriteAt(p, d.base+off)
}

// Truncate sets the length of the content; the archive ends with it.
func (d *DiskWriter) Truncate(size int64) error {
	if err := d.usable(size, 0); err != nil {
		return err
	}
	return d.w.obj.Truncate(d.base + size)
}

// Sync makes the content written so far durable.
func (d *DiskWriter) Sync() error {
	if err := d.usable(0, 0); err != nil {
		return err
	}
	return d.w.obj.Sync()
}

// Close ends the disk: it cuts the content at c.Size, writes the tar header in
// front of it and syncs. When it returns, State may be stored.
func (d *DiskWriter) Close(c Content) error {
	if err := d.usable(c.Size, 0); err != nil {
		return err
	}
	if !c.known() {
		return misuse("a disk is closed without its digest")
	}
	w := d.w
	name := w.machine.DiskFile(w.done)
	header, err := tarHeader(name, c.Size, w.machine.Time)
	if err != nil {
		return err
	}
	for _, size := range []int64{c.Size, roundUp(c.Size)} { // cut, then fill up with zeros
		if err := d.Truncate(size); err != nil {
			return fmt.Errorf("end %s: %w", name, err)
		}
	}
	if _, err := w.obj.WriteAt(header, d.base-tarBlock); err != nil {
		return fmt.Errorf("write the tar header of %s: %w", name, err)
	}
	if err := w.obj.Sync(); err != nil {
		return fmt.Errorf("end %s: %w", name, err)
	}
	w.machine.Disks[w.done].VMDK = c
	w.done++
	w.next = d.base + roundUp(c.Size)
	w.current = nil
	return nil
}

func (d *DiskWriter) usable(off, n int64) error {
	if d.w.current != d {
		return misuse("a disk of the archive is used after its Close")
	}
	if off < 0 || off > maxFile-d.base-n {
		return misuse("a disk of the archive is used at offset %d", off)
	}
	return nil
}

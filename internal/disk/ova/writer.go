package ova

import (
	"context"
	"fmt"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// Writer assembles an OVA in one pass over an object that nobody sees yet:
//
//	[.ovf in a reserved slot] [disk 1] … [disk n] [.nvram] [.mf unless Bare] [two zero blocks]
//
// The disks come one after the other, their sizes unknown: the tar header of a
// disk is written when the disk is complete. The descriptor knows the sizes
// only at the end: its slot is as long as it can become, and it is patched in
// last, filled up with white space. Until then the object begins with zeros and
// is not taken for an archive.
//
// After a crash Restore goes on from the last State; a disk that was in the
// middle goes on by its own target (disk.Resumable) over the same DiskWriter.
//
// A Writer is used by one goroutine.
type Writer struct {
	obj     disk.Object
	machine Machine // a copy; Disks[:done] have their Content
	slot    int64   // room of the descriptor
	done    int     // disks that are complete
	next    int64   // offset of the next member's header
	current *DiskWriter
}

// NewWriter begins an OVA in an empty object; nothing is written before the
// first disk. Kind Unprocessable: see Machine.
func NewWriter(obj disk.Object, m *Machine) (*Writer, error) {
	if err := m.check(); err != nil {
		return nil, err
	}
	slot := m.slotSize()
	if slot > maxDescriptor {
		return nil, unfit("the descriptor would take %d bytes", slot)
	}
	w := &Writer{obj: obj, machine: m.clone(), slot: slot, next: tarBlock + roundUp(slot)}
	for i := range w.machine.Disks {
		w.machine.Disks[i].VMDK = Content{}
	}
	return w, nil
}

// Machine returns the description as of now: the disks that are complete have
// their Content. After Restore it is the one that the OVA was begun with.
func (w *Writer) Machine() Machine { return w.machine.clone() }

// Done tells how many disks are complete; Disk gives the one after them.
func (w *Writer) Done() int { return w.done }

// Disk returns where the content of the next disk goes. The disk before it must
// be closed. Kind Internal: out of order.
func (w *Writer) Disk() (*DiskWriter, error) {
	if w.current != nil || w.done == len(w.machine.Disks) {
		return nil, misuse("disk %d of %d is asked for while another is open or none is left", w.done+1, len(w.machine.Disks))
	}
	w.current = &DiskWriter{w: w, base: w.next + tarBlock}
	return w.current, nil
}

// Finish writes nvram (nil: there is none), the manifest, the end of the
// archive and, last, the descriptor; then the object is synced. It does not
// commit or close the object. After a crash it may be called again on a
// restored Writer. It returns the files that the manifest lists.
func (w *Writer) Finish(ctx context.Context, nvram []byte) ([]File, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if w.current != nil || w.done < len(w.machine.Disks) {
		return nil, misuse("the archive is finished with %d of %d disks", w.done, len(w.machine.Disks))
	}
	nv := w.machine.nvram(nvram)
	descriptor := pad(w.machine.descriptor(nv), w.slot)
	if int64(len(descriptor)) > w.slot {
		return nil, stale("the descriptor has outgrown the room that was kept for it")
	}
	files := w.machine.packageFiles(descriptor, nv)
	if err := w.writeTail(nvram, formatManifest(files)); err != nil {
		return nil, err
	}
	if err := w.writeSmall(0, w.machine.DescriptorFile(), descriptor, 0); err != nil {
		return nil, err
	}
	if err := w.obj.Sync(); err != nil {
		return nil, fmt.Errorf("finish the archive: %w", err)
	}
	return files, nil
}

// writeTail writes what comes after the disks, over anything that an earlier
// attempt left there.
func (w *Writer) writeTail(nvram, manifest []byte) error {
	if err := w.obj.Truncate(w.next); err != nil {
		return fmt.Errorf("cut the archive after its disks: %w", err)
	}
	off := w.next
	if nvram != nil {
		if err := w.writeSmall(off, w.machine.NVRAMFile(), nvram, 0); err != nil {
			return err
		}
		off += tarBlock + roundUp(int64(len(nvram)))
	}
	if w.machine.Bare {
		if _, err := w.obj.WriteAt(make([]byte, tarTrailer), off); err != nil {
			return fmt.Errorf("end the archive: %w", err)
		}
		return nil
	}
	return w.writeSmall(off, w.machine.ManifestFile(), manifest, tarTrailer)
}

// writeSmall writes a whole member at off, and zeros after it.
func (w *Writer) writeSmall(off int64, name string, data []byte, zeros int) error {
	member, err := smallMember(name, data, w.machine.Time)
	if err != nil {
		return err
	}
	if _, err := w.obj.WriteAt(append(member, make([]byte, zeros)...), off); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// misuse reports a defect of the caller.
func misuse(format string, args ...any) error {
	return fault.Newf(fault.Internal, codeSequence, "report this as a defect", "OVA writer: "+format, args...)
}

package vmdk

import (
	"encoding/binary"
	"io"
	"strings"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// OpenOptions modify Open.
type OpenOptions struct {
	// Info describes the disk to the reader of the source; Open sets Size.
	Info disk.Info
	// OpenExtent opens the data file that a monolithicFlat descriptor names: a
	// plain file name, never a path. It returns the file's length in bytes. The
	// file stays the caller's. nil: descriptors are refused.
	OpenExtent func(name string) (io.ReaderAt, int64, error)
}

// Open reads a VMDK of size bytes by random access: streamOptimized through its
// tables (so by another way than Stream), monolithicSparse, or monolithicFlat.
// r stays the caller's. Kind Corrupt: no VMDK, or damaged; Unprocessable: a form
// that is not read here, or content in files that the caller does not offer.
func Open(r io.ReaderAt, size int64, o OpenOptions) (disk.Source, error) {
	f := file{r: r, size: size}
	var start [4]byte
	if err := f.read(start[:], 0, "the header"); err != nil {
		return nil, err
	}
	switch {
	case binary.LittleEndian.Uint32(start[:]) == magic:
		return openSparse(f, o.Info)
	case string(start[:]) == "COWD":
		return nil, unsupported("a sparse file of ESX (vmfsSparse)")
	case start[0] == '#':
		return openFlat(f, o)
	}
	return nil, corrupt("it begins neither with a sparse header nor with a descriptor")
}

// file is a reader that knows its length and never reads beyond it.
type file struct {
	r    io.ReaderAt
	size int64
}

// read fills p from off; what names the part in the errors.
func (f file) read(p []byte, off int64, what string) error {
	if off < 0 || off > f.size || int64(len(p)) > f.size-off {
		return truncated("%s should be at byte %d, but the file has %d", what, off, f.size)
	}
	n, err := f.r.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return readFailure(err, what, off+int64(n))
}

// openFlat reads a separate descriptor and asks the caller for the data file.
func openFlat(f file, o OpenOptions) (disk.Source, error) {
	if f.size > maxDescriptor {
		return nil, corrupt("a descriptor of %d bytes, at most %d are read", f.size, maxDescriptor)
	}
	text := make([]byte, f.size)
	if err := f.read(text, 0, "the descriptor"); err != nil {
		return nil, err
	}
	d, err := parseDescriptor(text)
	if err != nil {
		return nil, err
	}
	e, err := d.flatExtent()
	if err != nil {
		return nil, err
	}
	if o.OpenExtent == nil {
		return nil, foreign("its content lies in %.80q, which was not given with it", e.name)
	}
	data, size, err := o.OpenExtent(e.name)
	if err != nil {
		return nil, readFailure(err, "the data file "+e.name, 0)
	}
	if need := e.sectors * sectorSize; size < 0 || uint64(size) < need {
		return nil, truncated("its data file %.80q has %d bytes instead of %d", e.name, size, need)
	}
	info := o.Info
	info.Size = int64(e.sectors) * sectorSize
	return disk.NewRawSource(data, info), nil
}

// flatExtent returns the one data file of a monolithicFlat descriptor.
func (d *descriptor) flatExtent() (extent, error) {
	if d.createType != typeFlat {
		return extent{}, unsupported("createType %.40q", d.createType)
	}
	if len(d.extents) != 1 {
		return extent{}, unsupported("a disk in %d files", len(d.extents))
	}
	e := d.extents[0]
	switch {
	case e.kind != "FLAT" || e.offset != 0:
		return extent{}, unsupported("an extent of type %.20q from sector %d on", e.kind, e.offset)
	case e.sectors == 0 || e.sectors > maxSize/sectorSize:
		return extent{}, corrupt("a capacity of %d sectors", e.sectors)
	case !plainName(e.name):
		return extent{}, foreign("%.80q is no plain file name", e.name)
	}
	return e, nil
}

// plainName tells whether a name cannot lead out of the descriptor's directory
// on any system.
func plainName(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) <= 255 && !strings.ContainsAny(name, "/\\:\x00")
}

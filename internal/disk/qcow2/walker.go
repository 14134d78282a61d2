package qcow2

import (
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/inflate"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// walker is one pass over an image. What it keeps is of a few clusters at most.
type walker struct {
	*image
	window window

	l2     []byte // the L2 table of this L1 entry
	loaded uint64 // 0: of none

	plain    []byte // the content of a compressed cluster
	unpacked int64  // which cluster of the disk that is
	zstd     *zstd.Decoder
}

func (w *walker) close() {
	if w.zstd != nil {
		w.zstd.Close()
	}
}

// place is where a cluster lies: nowhere (it is zero), at off, or packed.
type place struct {
	form   form
	off    int64
	packed packed
}

type form uint8

const (
	formZero form = iota
	formPlain
	formPacked
)

// grain returns the block at an offset, or none if it is zero for sure.
func (w *walker) grain(off int64) (disk.Block, bool, error) {
	n := min(disk.GrainSize, w.virtual()-off)
	if n == disk.GrainSize && w.clusterBits == clusterBits {
		at, err := w.find(off)
		if err != nil || at.form == formZero {
			return disk.Block{}, false, err
		}
		if at.form == formPacked {
			if b, ok, err := w.asStored(off, at.packed); ok || err != nil {
				return b, ok, err
			}
		}
	}
	buf := disk.GetBuffer()
	if data, err := w.fill(buf.B[:n], off); err != nil || !data {
		buf.Release()
		return disk.Block{}, false, err
	}
	return disk.NewBlock(off, n, disk.Raw, buf.B[:n], buf), true, nil
}

// asStored returns a compressed cluster as it is, if it is smaller than a grain.
func (w *walker) asStored(off int64, at packed) (disk.Block, bool, error) {
	p, err := w.stored(at)
	if err != nil {
		return disk.Block{}, false, err
	}
	enc := disk.Deflate
	if w.compression == compressionZstd {
		n, err := zstdFrame(p)
		if err != nil {
			return disk.Block{}, false, undecodable(off, err)
		}
		enc, p = disk.Zstd, p[:n]
	}
	if len(p) >= disk.GrainSize {
		return disk.Block{}, false, nil
	}
	buf := disk.GetBuffer()
	return disk.NewBlock(off, disk.GrainSize, enc, buf.B[:copy(buf.B, p)], buf), true, nil
}

// fill reads content of the disk, and tells whether any of it is stored: if not,
// it is zero.
func (w *walker) fill(dst []byte, off int64) (data bool, err error) {
	cluster := int64(1) << w.clusterBits
	for len(dst) > 0 {
		in := off & (cluster - 1)
		p := dst[:min(int64(len(dst)), cluster-in)]
		at, err := w.find(off)
		if err != nil {
			return false, err
		}
		if err := w.read(p, at, off-in, in); err != nil {
			return false, err
		}
		data = data || at.form != formZero
		dst, off = dst[len(p):], off+int64(len(p))
	}
	return data, nil
}

// read reads from one cluster: the one at start on the disk, from in on.
func (w *walker) read(p []byte, at place, start, in int64) error {
	switch at.form {
	case formPlain:
		q, err := w.window.view(at.off+in, int64(len(p)))
		if err != nil {
			return err
		}
		copy(p, q)
	case formPacked:
		if err := w.unpack(at.packed, start); err != nil {
			return err
		}
		copy(p, w.plain[in:])
	default:
		clear(p)
	}
	return nil
}

// unpack decodes the compressed cluster at start on the disk to w.plain, unless
// that holds it already.
func (w *walker) unpack(at packed, start int64) error {
	if w.unpacked == start {
		return nil
	}
	p, err := w.stored(at)
	if err != nil {
		return err
	}
	if w.plain == nil {
		w.plain = make([]byte, 1<<w.clusterBits)
	}
	w.unpacked = none
	n, err := w.decode(w.plain, p)
	if err == nil && n != len(w.plain) {
		err = fmt.Errorf("%d bytes instead of %d", n, len(w.plain))
	}
	if err != nil {
		return undecodable(start, err)
	}
	w.unpacked = start
	return nil
}

func (w *walker) decode(dst, src []byte) (int, error) {
	if w.compression != compressionZstd {
		n, _, err := inflate.Deflate(dst, src)
		return n, err
	}
	if w.zstd == nil {
		d, err := newZstdDecoder(1)
		if err != nil {
			return 0, err
		}
		w.zstd = d
	}
	return unzstd(w.zstd, dst, src)
}

// stored returns the sectors of a compressed cluster, valid until the next read.
// The last of them may reach over the end of the file.
func (w *walker) stored(at packed) ([]byte, error) {
	if at.off >= w.file {
		return nil, damaged("a compressed cluster lies behind the end of the file")
	}
	return w.window.view(at.off, min(at.end(), w.file)-at.off)
}

// find looks up the cluster that holds an offset of the disk.
func (w *walker) find(off int64) (place, error) {
	table := w.table(off >> w.span())
	if table == 0 {
		return place{}, nil
	}
	if err := w.load(table); err != nil {
		return place{}, err
	}
	i := off >> w.clusterBits & (1<<(w.clusterBits-3) - 1)
	e := binary.BigEndian.Uint64(w.l2[i*entrySize:])
	if e&entryCompressed != 0 {
		return place{form: formPacked, packed: parsePacked(e, uint(w.clusterBits))}, nil
	}
	at := place{form: formPlain, off: int64(e & entryOffset)}
	switch {
	case e&^uint64(entryCopied|entryOffset|entryZero) != 0:
		return place{}, damaged("an L2 entry has reserved bits set")
	case e&entryZero != 0 && w.version < 3:
		return place{}, damaged("it has a zero cluster, which its version does not know")
	case e&entryZero != 0 || at.off == 0:
		return place{}, nil
	case at.off&(1<<w.clusterBits-1) != 0:
		return place{}, damaged("a cluster is not aligned")
	}
	return at, nil
}

// load reads the L2 table that an L1 entry points to.
func (w *walker) load(entry uint64) error {
	if entry == w.loaded {
		return nil
	}
	size := int64(1) << w.clusterBits
	off := int64(entry & entryOffset)
	if entry&^uint64(entryCopied|entryOffset) != 0 || off == 0 || off%size != 0 {
		return damaged("an L1 entry is not a valid one")
	}
	if off > w.file-size {
		return damaged("an L2 table lies behind the end of the file")
	}
	if w.l2 == nil {
		w.l2 = make([]byte, size)
	}
	w.loaded = 0
	if err := readFull(w.r, w.l2, off); err != nil {
		return err
	}
	w.loaded = entry
	return nil
}

// undecodable is the error for a compressed cluster that does not hold one.
func undecodable(off int64, err error) error {
	return &fault.Error{
		Kind: fault.Corrupt, Code: "HX-QCOW-021",
		Msg: fmt.Sprintf("the qcow2 image is damaged: the compressed cluster at offset %d of the disk cannot be decoded", off),
		Fix: "take another copy of the image",
		Err: err,
	}
}

package qcow2

import (
	"io"
	"sync"

	"github.com/klauspost/compress/flate"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/inflate"
)

// The frame of a zlib stream (RFC 1950 §2.2) in bytes.
const (
	zlibHeader  = 2
	zlibTrailer = 4
)

// deflater stores clusters as raw deflate.
type deflater struct {
	level int
	idle  sync.Pool // of *deflateWriter
}

// newDeflater takes a level from 1 to 9, or 0 for the fastest.
func newDeflater(level int) *deflater { return &deflater{level: max(level, flate.BestSpeed)} }

func (*deflater) accepts(enc disk.Encoding) bool { return enc == disk.Zlib || enc == disk.Deflate }

func (*deflater) stores() disk.Encoding { return disk.Deflate }

func (d *deflater) encode(b *disk.Block) error {
	switch b.Enc {
	case disk.Zlib:
		if len(b.Data) <= zlibHeader+zlibTrailer {
			return expand(b, inflate.Zlib) // says what is wrong
		}
		if stream := b.Data[zlibHeader : len(b.Data)-zlibTrailer]; b.Len == clusterSize && len(stream) < clusterSize {
			b.Enc, b.Data = disk.Deflate, stream
			return nil
		}
		return d.again(b, inflate.Zlib)
	case disk.Deflate:
		if b.Len == clusterSize && len(b.Data) < clusterSize {
			return nil
		}
		return d.again(b, func(dst, src []byte) (int, error) {
			n, _, err := inflate.Deflate(dst, src)
			return n, err
		})
	case disk.Raw:
		d.compress(b)
		return nil
	default:
		return misuse(b, "was not accepted")
	}
}

// again inflates a block that cannot be stored as it is: too long, and then it
// stays plain; or the last of the disk, and then a whole cluster is made of it.
func (d *deflater) again(b *disk.Block, decode func(dst, src []byte) (int, error)) error {
	if err := expand(b, decode); err != nil || b.Len == clusterSize {
		return err
	}
	d.compress(b)
	return nil
}

func (d *deflater) compress(b *disk.Block) {
	w := d.writer()
	compress(b, disk.Deflate, w.squeeze)
	d.idle.Put(w)
}

func (d *deflater) writer() *deflateWriter {
	if w, ok := d.idle.Get().(*deflateWriter); ok {
		return w
	}
	w, _ := flate.NewWriter(io.Discard, d.level) // fails for another level only
	return &deflateWriter{flate: w}
}

// deflateWriter makes one stream at a time.
type deflateWriter struct {
	flate *flate.Writer
	out   fixed
}

// squeeze deflates src into dst; nil if it does not fit.
func (w *deflateWriter) squeeze(dst, src []byte) []byte {
	w.out = fixed{p: dst}
	w.flate.Reset(&w.out)
	_, err := w.flate.Write(src)
	if err == nil {
		err = w.flate.Close()
	}
	n := w.out.n
	w.out.p = nil
	if err != nil {
		return nil
	}
	return dst[:n]
}

// fixed is a writer to memory that does not grow.
type fixed struct {
	p []byte
	n int
}

func (f *fixed) Write(p []byte) (int, error) {
	n := copy(f.p[f.n:], p)
	f.n += n
	if n < len(p) {
		return n, io.ErrShortWrite
	}
	return n, nil
}

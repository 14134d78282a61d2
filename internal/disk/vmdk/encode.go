package vmdk

import (
	"errors"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zlib"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/inflate"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// deflater makes grains. It keeps one compressor per concurrent caller.
type deflater struct {
	level int
	pool  sync.Pool // of *zlib.Writer
}

// encode turns a block into a zlib stream of a whole grain. The last grain of
// an odd disk is padded with zeros, as VMware's writer does.
func (d *deflater) encode(b *disk.Block) error {
	if b.Enc == disk.Zlib && b.Len == disk.GrainSize {
		return nil
	}
	plain := b.Data
	if b.Len < disk.GrainSize {
		buf := disk.GetBuffer()
		defer buf.Release()
		plain = buf.B[:disk.GrainSize]
		if err := padLast(plain, b); err != nil {
			return err
		}
	}
	out := disk.GetBuffer()
	n, err := d.deflate(out.B, plain)
	if err != nil {
		out.Release()
		return err
	}
	b.Replace(disk.Zlib, out.B[:n], out)
	return nil
}

// padLast puts the content of a short grain and zeros into dst, a whole grain.
func padLast(dst []byte, b *disk.Block) error {
	n := copy(dst[:b.Len], b.Data)
	if b.Enc == disk.Zlib {
		var err error
		if n, err = inflate.Zlib(dst[:b.Len], b.Data); err != nil {
			return fault.Wrap(err, fault.Corrupt, codeCorrupt, fmt.Sprintf("the grain at offset %d does not inflate", b.Off), fixDamaged)
		}
	}
	clear(dst[n:])
	return nil
}

// deflate compresses src into dst, which has room for the worst case, and
// returns the length.
func (d *deflater) deflate(dst, src []byte) (int, error) {
	out := fixedBuffer{b: dst}
	w, ok := d.pool.Get().(*zlib.Writer)
	if ok {
		w.Reset(&out)
	} else {
		var err error
		if w, err = zlib.NewWriterLevel(&out, d.level); err != nil {
			return 0, fmt.Errorf("vmdk: %w", err)
		}
	}
	defer d.pool.Put(w)
	if _, err := w.Write(src); err != nil {
		return 0, fmt.Errorf("vmdk: deflate: %w", err)
	}
	if err := w.Close(); err != nil {
		return 0, fmt.Errorf("vmdk: deflate: %w", err)
	}
	return out.n, nil
}

// fixedBuffer is a writer into b that refuses more than fits.
type fixedBuffer struct {
	b []byte
	n int
}

var errNoRoom = errors.New("a compressed grain does not fit its buffer")

func (f *fixedBuffer) Write(p []byte) (int, error) {
	if len(p) > len(f.b)-f.n {
		return 0, errNoRoom
	}
	f.n += copy(f.b[f.n:], p)
	return len(p), nil
}

package vmdk

import (
	"fmt"
	"io"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// WriterObject makes an object of a stream, so that a Target can serve a disk
// over a connection as ESXi does. Only a Target can write to it, and there is
// no way back: Replay of records fails, Sync does nothing.
func WriterObject(w io.Writer) disk.Object { return &writerObject{w: w} }

type writerObject struct {
	w io.Writer
	n int64
}

func (o *writerObject) WriteAt(p []byte, off int64) (int, error) {
	if off != o.n {
		return 0, fmt.Errorf("write at %d of a stream that is at %d", off, o.n)
	}
	n, err := o.w.Write(p)
	o.n += int64(n)
	return n, err
}

func (o *writerObject) Truncate(size int64) error {
	if size != o.n {
		return fmt.Errorf("truncate to %d a stream that is at %d", size, o.n)
	}
	return nil
}

func (o *writerObject) Sync() error { return nil }

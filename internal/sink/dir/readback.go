package dir

import (
	"errors"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/sink"
)

// readWindow is how much one direct read takes: a long one lets the device work
// while it is copied out.
const readWindow = 4 << 20

// readFile reads a staged file back past the page cache (O_DIRECT): what is
// verified is what the device gives, and filling the cache with a file that
// nobody reads again costs more than hashing it. It reads whole aligned windows
// of bufferLen, for readers that go forward. Where the file system has no direct
// I/O it reads through the cache.
//
// The *os.File stays visible, so that holes can be skipped.
type readFile struct {
	*os.File
	size   int64
	direct *os.File // nil: no direct I/O

	mu   sync.Mutex // of the window
	buf  []byte     // aligned; made at the first read
	off  int64      // where the window begins
	held int        // bytes in it
}

// openBack opens a file of the stage; f is it, opened plainly.
func openBack(root *os.Root, name string, f *os.File) (sink.ReadFile, error) {
	st, err := f.Stat()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	r := &readFile{File: f, size: st.Size()}
	if d, err := root.OpenFile(name, os.O_RDONLY|unix.O_DIRECT|unix.O_NOFOLLOW, 0); err == nil {
		r.direct = d
	}
	return r, nil
}

func (r *readFile) Size() int64 { return r.size }

// ReadAt may be called concurrently.
func (r *readFile) ReadAt(p []byte, off int64) (n int, err error) {
	if r.direct == nil {
		return r.File.ReadAt(p, off)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for n < len(p) {
		q, err := r.window(off + int64(n))
		if err != nil {
			return n, err
		}
		if len(q) == 0 {
			return n, io.EOF
		}
		n += copy(p[n:], q)
	}
	return n, nil
}

// window returns what is held from off on, and reads it if nothing is.
func (r *readFile) window(off int64) ([]byte, error) {
	if off < r.off || off >= r.off+int64(r.held) {
		if err := r.load(off / readWindow * readWindow); err != nil {
			return nil, err
		}
	}
	return r.buf[min(off-r.off, int64(r.held)):r.held], nil
}

func (r *readFile) load(off int64) error {
	if r.buf == nil {
		r.buf = aligned(readWindow)
	}
	r.off, r.held = off, 0
	n, err := r.direct.ReadAt(r.buf, off)
	if errors.Is(err, unix.EINVAL) { // the device wants another alignment
		n, err = r.File.ReadAt(r.buf, off)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	r.held = n
	return err
}

// Close closes both handles.
func (r *readFile) Close() error {
	err := r.File.Close()
	if r.direct != nil {
		err = errors.Join(err, r.direct.Close())
	}
	return err
}

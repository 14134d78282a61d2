package dir

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/hypersdk/hypersdk/internal/sink"
)

const (
	align     = 4096    // of offsets and memory for direct I/O
	bufferLen = 1 << 20 // bytes that one direct write takes
	buffers   = 3       // per object: one is filled while the others are written
)

// object is a file being written. Sequential content is gathered in aligned
// buffers, and a goroutine writes them past the page cache (O_DIRECT): copying
// into the cache and writing back costs more than everything else that is done
// to a disk's content. What does not fill whole blocks, and what goes back into
// the file, is written through the cache; the kernel keeps both coherent.
type object struct {
	path   string
	file   *os.File // buffered
	direct *os.File // nil: the file system has no direct I/O

	mu     sync.Mutex
	cur    *buffer
	free   chan *buffer
	work   chan *buffer
	done   sync.WaitGroup // of the writer
	flight sync.WaitGroup // of buffers on their way
	errMu  sync.Mutex
	err    error // sticky: the file is in an unknown state
	closed bool
}

// buffer holds bytes [off, off+n) of the file; memory and file are aligned alike.
type buffer struct {
	mem []byte
	off int64
	n   int
}

// head is where the content begins in mem.
func (b *buffer) head() int { return int(b.off % align) }

func (b *buffer) room() int { return len(b.mem) - b.head() - b.n }

func newBuffer() *buffer { return &buffer{mem: aligned(bufferLen)} }

// aligned makes memory for direct I/O.
func aligned(n int) []byte {
	raw := make([]byte, n+align)
	// Only the address is looked at.
	skip := int(-uintptr(unsafe.Pointer(unsafe.SliceData(raw))) % align) //nolint:gosec // see above
	return raw[skip : skip+n]
}

func create(root *os.Root, name string, flags int, path string) (sink.Object, error) {
	f, err := root.OpenFile(name, flags|unix.O_NOFOLLOW, 0o640)
	if err != nil {
		return nil, classify(err, path)
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", name, unix.EINVAL)
	}
	if err != nil {
		return nil, errors.Join(classify(err, path), f.Close())
	}
	o := &object{path: path, file: f}
	if d, err := root.OpenFile(name, os.O_WRONLY|unix.O_DIRECT|unix.O_NOFOLLOW, 0); err == nil {
		o.direct = d
	}
	return o, nil
}

// start makes the buffers and the writer, at the first write.
func (o *object) start() {
	if o.free != nil {
		return
	}
	o.free, o.work = make(chan *buffer, buffers), make(chan *buffer, buffers)
	for range buffers {
		o.free <- newBuffer()
	}
	o.done.Go(func() {
		for b := range o.work {
			if o.failed() == nil {
				o.fail(o.write(b))
			}
			o.free <- b
			o.flight.Done()
		}
	})
}

func (o *object) fail(err error) {
	o.errMu.Lock()
	defer o.errMu.Unlock()
	if o.err == nil && err != nil {
		o.err = classify(err, o.path)
	}
}

func (o *object) failed() error {
	o.errMu.Lock()
	defer o.errMu.Unlock()
	return o.err
}

// write puts a buffer into the file: whole blocks directly, the rest buffered.
func (o *object) write(b *buffer) error {
	data := b.mem[b.head() : b.head()+b.n]
	off := b.off
	if o.direct != nil {
		lead := min(len(data), int((align-off%align)%align))
		body := (len(data) - lead) / align * align
		if body > 0 {
			_, err := o.direct.WriteAt(data[lead:lead+body], off+int64(lead))
			if errors.Is(err, unix.EINVAL) {
				return o.buffered(data, off) // the device wants another alignment
			}
			if err != nil {
				return err
			}
			tail := lead + body
			return errors.Join(o.buffered(data[:lead], off), o.buffered(data[tail:], off+int64(tail)))
		}
	}
	return o.buffered(data, off)
}

func (o *object) buffered(p []byte, off int64) error {
	if len(p) == 0 {
		return nil
	}
	_, err := o.file.WriteAt(p, off)
	return err
}

// WriteAt gathers p if it goes on where the last write ended, else begins anew.
func (o *object) WriteAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return 0, os.ErrClosed
	}
	o.start()
	if o.cur != nil && o.cur.off+int64(o.cur.n) != off {
		o.send() // one writer, in order: what overlaps it comes later
	}
	written := len(p)
	for len(p) > 0 {
		if err := o.failed(); err != nil {
			return written - len(p), err
		}
		if o.cur == nil {
			o.cur = <-o.free
			o.cur.off, o.cur.n = off, 0
		}
		n := copy(o.cur.mem[o.cur.head()+o.cur.n:], p)
		o.cur.n += n
		p, off = p[n:], off+int64(n)
		if o.cur.room() == 0 {
			o.send()
		}
	}
	return written, nil
}

// send hands the current buffer to the writer.
func (o *object) send() {
	if o.cur == nil {
		return
	}
	o.flight.Add(1)
	o.work <- o.cur
	o.cur = nil
}

// flush waits until everything is in the file.
func (o *object) flush() error {
	o.send()
	o.flight.Wait()
	return o.failed()
}

// ReadAt reads the file as if everything had been written.
func (o *object) ReadAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.flush(); err != nil {
		return 0, err
	}
	return o.file.ReadAt(p, off)
}

// Truncate sets the length.
func (o *object) Truncate(size int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.flush(); err != nil {
		return err
	}
	return classify(o.file.Truncate(size), o.path)
}

// Sync makes everything durable. An error of it stays: after a failed fsync
// nobody knows what is on the disk.
func (o *object) Sync() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.sync()
}

func (o *object) sync() error {
	if err := o.flush(); err != nil {
		return err
	}
	o.fail(unix.Fdatasync(int(o.file.Fd())))
	return o.failed()
}

// Close syncs and closes; idempotent.
func (o *object) Close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return nil
	}
	o.closed = true
	errs := []error{o.sync()}
	if o.work != nil {
		close(o.work)
		o.done.Wait()
	}
	if o.direct != nil {
		errs = append(errs, o.direct.Close())
	}
	return errors.Join(append(errs, o.file.Close())...)
}

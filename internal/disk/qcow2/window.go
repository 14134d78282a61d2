package qcow2

import "io"

// Read-ahead in bytes: it doubles from the first to the second value as long as
// reads follow one another, with room for a table between them.
const (
	aheadMin = 64 << 10
	aheadMax = 1 << 20
	aheadGap = 256 << 10
)

// window reads ahead where a file is read in sequence. What it holds is a part
// of the file of aheadMax, or of one compressed cluster if that is longer.
type window struct {
	r     io.ReaderAt
	size  int64 // length of the file
	buf   []byte
	off   int64 // where in the file buf begins
	ahead int64
}

// view returns n bytes of the file, valid until the next call.
func (w *window) view(off, n int64) ([]byte, error) {
	if off > w.size || n > w.size-off {
		return nil, damaged("it is cut short: a cluster lies behind its end")
	}
	if off < w.off || off+n > w.end() {
		if err := w.load(off, n); err != nil {
			return nil, err
		}
	}
	return w.buf[off-w.off:][:n], nil
}

func (w *window) end() int64 { return w.off + int64(len(w.buf)) }

// load moves the window to begin at off and to hold n bytes at least.
func (w *window) load(off, n int64) error {
	kept := 0
	if w.off <= off && off <= w.end()+aheadGap {
		w.ahead = max(aheadMin, min(2*w.ahead, aheadMax))
		if off < w.end() {
			kept = copy(w.buf, w.buf[off-w.off:])
		}
	} else {
		w.ahead = aheadMin
	}
	want := min(max(w.ahead, n), w.size-off)
	if int64(cap(w.buf)) < want {
		grown := make([]byte, want)
		copy(grown, w.buf[:kept])
		w.buf = grown
	}
	w.buf, w.off = w.buf[:want], off
	if err := readFull(w.r, w.buf[kept:], off+int64(kept)); err != nil {
		w.buf = w.buf[:0]
		return err
	}
	return nil
}

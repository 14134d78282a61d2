package vmdk

import (
	"bufio"
	"io"
)

// readAhead is the buffer of a Stream in bytes.
const readAhead = 256 << 10

// input reads forward and knows where it is. what names the part being read in
// the errors.
type input struct {
	r   *bufio.Reader
	pos int64 // bytes consumed
}

func newInput(r io.Reader) *input { return &input{r: bufio.NewReaderSize(r, readAhead)} }

// full fills p.
func (in *input) full(p []byte, what string) error {
	n, err := io.ReadFull(in.r, p)
	in.pos += int64(n)
	if err != nil {
		return readFailure(err, what, in.pos)
	}
	return nil
}

// skip drops n bytes.
func (in *input) skip(n int64, what string) error {
	dropped, err := in.r.Discard(int(n))
	in.pos += int64(dropped)
	if err != nil {
		return readFailure(err, what, in.pos)
	}
	return nil
}

// seek goes forward to a sector; one that lies behind is refused as a layout
// that needs random access.
func (in *input) seek(sector uint64, what string) error {
	to := int64(sector) * sectorSize
	if to < in.pos {
		return unsupported("the %s (sector %d) lies before other metadata, which a stream cannot go back to", what, sector)
	}
	return in.skip(to-in.pos, what)
}

// marker looks at the next 16 bytes without taking them. ok is false where the
// stream ends before them; an end inside them is a truncation.
func (in *input) marker() (m marker, ok bool, err error) {
	p, err := in.r.Peek(markerSize)
	switch {
	case err == nil:
		return parseMarker(p), true, nil
	case isEnd(err) && len(p) == 0:
		return marker{}, false, nil
	default:
		return marker{}, false, readFailure(err, "a marker", in.pos)
	}
}

// atEnd tells whether nothing follows.
func (in *input) atEnd() (bool, error) {
	_, err := in.r.Peek(1)
	if err == nil || isEnd(err) {
		return err != nil, nil
	}
	return false, readFailure(err, "what follows the end of stream", in.pos)
}

// isEnd tells a clean end from an error that io.EOF caused somewhere below.
func isEnd(err error) bool { return err == io.EOF } //nolint:errorlint // the point is not to unwrap

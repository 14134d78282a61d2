package vsphere

import (
	"context"
	"io"
)

// paced is a reader that stops after each read until limit lets the bytes pass.
// While it stops nothing is taken from the connection, so that the other end
// stops, too. A nil limit is none.
func paced(ctx context.Context, r io.Reader, limit func(ctx context.Context, n int) error) io.Reader {
	if limit == nil {
		return r
	}
	return &pacedReader{r: r, wait: func(n int) error { return limit(ctx, n) }}
}

type pacedReader struct {
	r    io.Reader
	wait func(n int) error
}

// Read passes on. The bytes of a read whose wait fails are lost with it.
func (p *pacedReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if n > 0 {
		if err := p.wait(n); err != nil {
			return 0, err
		}
	}
	return n, err
}

package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"

	"github.com/hypersdk/hypersdk/internal/disk/inflate"
	"github.com/hypersdk/hypersdk/internal/fault"
)

// decoder turns a block of any encoding into plain content; one per goroutine.
type decoder struct{ zstd *zstd.Decoder }

// decode inflates b into dst, which must be longer than b.Len by at least one
// byte, and checks that exactly b.Len bytes come out. For Deflate and Zstd,
// padding behind the first stream is ignored, as qcow2 needs it.
func (d *decoder) decode(dst []byte, b *Block) ([]byte, error) {
	var n int
	var err error
	out := dst[:b.Len]
	switch b.Enc {
	case Zlib:
		n, err = inflate.Zlib(out, b.Data)
	case Deflate:
		n, _, err = inflate.Deflate(out, b.Data)
	case Zstd:
		n, err = d.unzstd(out, b.Data)
	default:
		return nil, fmt.Errorf("encoding %d cannot be decoded", b.Enc)
	}
	if err == nil && int64(n) != b.Len {
		err = fmt.Errorf("%d bytes instead of %d", n, b.Len)
	}
	if err != nil {
		return nil, &fault.Error{
			Kind: fault.Corrupt, Code: "HX-DISK-002",
			Msg: fmt.Sprintf("the grain at offset %d of the disk is damaged", b.Off),
			Fix: "run the export again; if it stays, check the source's storage and the network path",
			Err: err,
		}
	}
	return out, nil
}

func (d *decoder) unzstd(dst, src []byte) (int, error) {
	if d.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(1<<20), zstd.WithDecoderMaxWindow(1<<20))
		if err != nil {
			return 0, fmt.Errorf("zstd: %w", err)
		}
		d.zstd = z
	}
	// A stream reader, because DecodeAll refuses the padding behind the frame.
	if err := d.zstd.Reset(bytes.NewReader(src)); err != nil {
		return 0, fmt.Errorf("zstd: %w", err)
	}
	n := 0
	for n < len(dst) {
		m, err := d.zstd.Read(dst[n:])
		n += m
		if err != nil {
			return n, fmt.Errorf("zstd: %w", err)
		}
	}
	// One read more finds out whether the frame ends here, and its checksum.
	m, err := d.zstd.Read(make([]byte, 1))
	if m > 0 || errors.Is(err, io.EOF) || errors.Is(err, zstd.ErrMagicMismatch) {
		return n + m, nil
	}
	return n, fmt.Errorf("zstd: %w", err)
}

func (d *decoder) close() {
	if d.zstd != nil {
		d.zstd.Close()
	}
}

var zeroGrain [GrainSize]byte

// IsZero tells whether p, of at most GrainSize bytes, holds only zeros.
func IsZero(p []byte) bool { return bytes.Equal(p, zeroGrain[:len(p)]) }

package qcow2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"

	"github.com/klauspost/compress/zstd"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// zstder stores clusters as zstd frames with their content size and without a
// checksum.
type zstder struct {
	enc *zstd.Encoder
	dec *zstd.Decoder
}

// newZstder takes a level as the zstd command has them, or 0 for the fastest.
func newZstder(level int) (*zstder, error) {
	speed := zstd.SpeedFastest
	if level > 0 {
		speed = zstd.EncoderLevelFromZstd(level)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(speed), zstd.WithWindowSize(clusterSize),
		zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true), zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)))
	if err != nil {
		return nil, fmt.Errorf("qcow2: zstd: %w", err)
	}
	dec, err := newZstdDecoder(runtime.GOMAXPROCS(0))
	if err != nil {
		return nil, err
	}
	return &zstder{enc: enc, dec: dec}, nil
}

func (*zstder) accepts(enc disk.Encoding) bool { return enc == disk.Zstd }

func (*zstder) stores() disk.Encoding { return disk.Zstd }

func (z *zstder) encode(b *disk.Block) error {
	switch b.Enc {
	case disk.Zstd:
		if b.Len == clusterSize && len(b.Data) < clusterSize {
			return nil
		}
		err := expand(b, func(dst, src []byte) (int, error) { return unzstd(z.dec, dst, src) })
		if err != nil || b.Len == clusterSize {
			return err
		}
	case disk.Raw:
	default:
		return misuse(b, "was not accepted")
	}
	compress(b, disk.Zstd, z.squeeze)
	return nil
}

// squeeze compresses src into dst; nil if it does not fit.
func (z *zstder) squeeze(dst, src []byte) []byte {
	out := z.enc.EncodeAll(src, dst[:0])
	if len(out) > len(dst) {
		return nil
	}
	return out
}

// zstdWindow bounds what a frame may ask of memory: RFC 8878 §3.1.1.1.2 wants
// every decoder to have 8 MiB. A cluster has 2 MiB at most.
const zstdWindow = 8 << 20

func newZstdDecoder(concurrency int) (*zstd.Decoder, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(concurrency), zstd.WithDecodeAllCapLimit(true),
		zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, fmt.Errorf("qcow2: zstd: %w", err)
	}
	return d, nil
}

// unzstd decodes the frame at the start of src to dst and returns its length. One
// byte more than dst has is an error.
func unzstd(d *zstd.Decoder, dst, src []byte) (int, error) {
	n, err := zstdFrame(src)
	if err != nil {
		return 0, err
	}
	out, err := d.DecodeAll(src[:n], dst[:0:len(dst)])
	if err != nil {
		return 0, fmt.Errorf("zstd: %w", err)
	}
	return len(out), nil
}

var errFrame = errors.New("zstd: the frame is cut short or not one")

// zstdFrame returns the length of the frame at the start of p by the sizes of
// its blocks (RFC 8878 §3.1.1), because what follows it up to the end of the
// sector is not a frame, and decoders complain.
func zstdFrame(p []byte) (int, error) {
	const blockHeader, checksum, rle = 3, 4, 1
	var h zstd.Header
	if err := h.Decode(p); err != nil || h.Skippable {
		return 0, errFrame
	}
	n := h.HeaderSize
	for last := false; !last; {
		if n+blockHeader > len(p) {
			return 0, errFrame
		}
		block := uint(binary.LittleEndian.Uint16(p[n:])) | uint(p[n+2])<<16
		n += blockHeader
		last = block&1 != 0
		if block>>1&3 == rle {
			n++
		} else {
			n += int(block >> 3)
		}
	}
	if h.HasCheckSum {
		n += checksum
	}
	if n > len(p) {
		return 0, errFrame
	}
	return n, nil
}

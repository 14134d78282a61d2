// Package inflate decodes deflate (RFC 1951) and zlib (RFC 1950) streams whose
// input and output are both whole buffers: VMDK grains and qcow2 compressed
// clusters. Knowing both ends up front is what makes it about twice as fast as
// a streaming decoder; it is the hot path of every conversion.
//
// Input is hostile: every malformed stream ends in one of the errors below,
// never in a panic, and nothing outside dst is written. What is accepted is
// exactly what compress/flate and compress/zlib accept, except that a zlib
// stream must end where its buffer ends.
package inflate

import (
	"encoding/binary"
	"errors"
	"sync"
)

// The ways a stream can be wrong. The caller knows which grain of which file
// it was, so it is the one to make a fault.Error of it.
var (
	ErrCorrupt   = errors.New("inflate: not a valid deflate stream")
	ErrTruncated = errors.New("inflate: the stream ends too early")
	ErrTooLong   = errors.New("inflate: the stream holds more than the output has room for")
	ErrHeader    = errors.New("inflate: not a zlib header")
	ErrChecksum  = errors.New("inflate: the Adler-32 checksum does not match")
	ErrTrailing  = errors.New("inflate: bytes follow the end of the stream")
)

// Sizes of the frame of a zlib stream (RFC 1950 §2.2) in bytes.
const (
	zlibHeader  = 2
	zlibTrailer = 4
)

// decoders holds the tables between calls: a call allocates nothing.
var decoders = sync.Pool{New: func() any { return new(decoder) }}

// Zlib inflates src, one whole RFC 1950 stream, to the start of dst and returns
// how many bytes that gave. The header, the Adler-32 and the end of the stream
// at exactly len(src) are checked; a preset dictionary is refused. On an error
// n is 0 and the content of dst is undefined. Safe for concurrent use.
func Zlib(dst, src []byte) (n int, err error) {
	if len(src) < zlibHeader+zlibTrailer {
		return 0, ErrTruncated
	}
	if !zlibHeaderOK(src[0], src[1]) {
		return 0, ErrHeader
	}
	n, consumed, err := Deflate(dst, src[zlibHeader:])
	if err != nil {
		return 0, err
	}
	trailer := src[zlibHeader+consumed:]
	switch {
	case len(trailer) < zlibTrailer:
		return 0, ErrTruncated
	case len(trailer) > zlibTrailer:
		return 0, ErrTrailing
	case binary.BigEndian.Uint32(trailer) != checksum(dst[:n]):
		return 0, ErrChecksum
	}
	return n, nil
}

// zlibHeaderOK checks CMF and FLG: deflate, a window of at most 32 KiB, no
// preset dictionary, and the check bits.
func zlibHeaderOK(cmf, flg byte) bool {
	const deflate, maxWindow, dictionary = 8, 7, 0x20
	return cmf&0x0f == deflate && cmf>>4 <= maxWindow && flg&dictionary == 0 &&
		(uint(cmf)<<8|uint(flg))%31 == 0
}

// Deflate inflates one RFC 1951 stream from the start of src to the start of
// dst. It returns how many bytes that gave and how many bytes of src the
// stream took: what follows it (padding, a checksum) is the caller's matter.
// On an error both are 0 and the content of dst is undefined; one byte more
// than len(dst) is an error. Safe for concurrent use.
func Deflate(dst, src []byte) (n, consumed int, err error) {
	d, _ := decoders.Get().(*decoder)
	d.src, d.dst = src, dst
	d.ip, d.op, d.bits, d.nbits, d.pad = 0, 0, 0, 0, 0
	err = d.stream()
	if err == nil {
		n, consumed = d.op, d.position()
	}
	d.src, d.dst = nil, nil
	decoders.Put(d)
	return n, consumed, err
}

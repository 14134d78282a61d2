package inflate

import (
	"bytes"
	"compress/zlib"
	"io"
	"testing"
)

// FuzzDeflate: Deflate and compress/flate agree on whether a stream is valid,
// on its content and on where it ends.
func FuzzDeflate(f *testing.F) {
	for _, want := range samples(f) {
		for _, p := range packers() {
			if packed := p.pack(f, want[:min(len(want), 2000)]); len(packed) < 4096 {
				f.Add(packed, uint16(2000))
			}
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, room uint16) {
		agree(t, stream, int(room))
	})
}

// FuzzZlib: the same for Zlib and compress/zlib, except that the stream must
// take the whole buffer.
func FuzzZlib(f *testing.F) {
	for _, want := range samples(f) {
		f.Add(packZlib(f, want[:min(len(want), 1000)]), uint16(1000))
	}
	f.Fuzz(func(t *testing.T, stream []byte, room uint16) {
		in := bytes.NewReader(stream)
		var want []byte
		r, wantErr := zlib.NewReader(in)
		if wantErr == nil {
			want, wantErr = io.ReadAll(io.LimitReader(r, int64(room)+1))
		}
		ok := wantErr == nil && len(want) <= int(room) && in.Len() == 0
		dst := make([]byte, room)
		n, err := Zlib(dst, stream)
		if (err == nil) != ok || ok && !bytes.Equal(dst[:n], want) {
			t.Fatalf("%d, %v; compress/zlib has %d, %v, %d bytes left", n, err, len(want), wantErr, in.Len())
		}
	})
}

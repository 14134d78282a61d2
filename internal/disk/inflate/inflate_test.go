package inflate

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"errors"
	"hash/adler32"
	"io"
	"sync"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for name, want := range samples(t) {
		for _, p := range packers() {
			packed := p.pack(t, want)
			stream := append(bytes.Clone(packed), "what follows"...)
			got := make([]byte, len(want))
			n, consumed, err := Deflate(got, stream)
			if err != nil || consumed != len(packed) || !bytes.Equal(got[:n], want) {
				t.Errorf("%s, %s: %d bytes from %d, %v; want %d from %d", name, p.name, n, consumed, err, len(want), len(packed))
			}
		}
	}
}

// TestEveryLength covers the seams between the fast and the careful loop.
func TestEveryLength(t *testing.T) {
	text := sourceText(t)
	elf := executable(t)
	var lengths []int
	for n := range 700 {
		lengths = append(lengths, n)
	}
	for n := grain - 5; n <= grain+5; n++ {
		lengths = append(lengths, n)
	}
	var packed bytes.Buffer
	w := zlib.NewWriter(&packed)
	for _, n := range lengths {
		for _, want := range [][]byte{text[n : 2*n], elf[n : 2*n], make([]byte, n)} {
			packed.Reset()
			w.Reset(&packed)
			if _, err := w.Write(want); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			got := make([]byte, n)
			if m, err := Zlib(got, packed.Bytes()); err != nil || m != n || !bytes.Equal(got, want) {
				t.Fatalf("length %d: %d, %v", n, m, err)
			}
		}
	}
}

// TestOutputBound: what does not fit is refused, at any size of the output, and
// nothing behind the output is touched.
func TestOutputBound(t *testing.T) {
	want := samples(t)["mixed"][:3000]
	for _, p := range packers() {
		packed := p.pack(t, want)
		for size := 0; size <= len(want)+300; size += 1 + size/100 {
			buf := bytes.Repeat([]byte{0xa5}, len(want)+1000)
			n, consumed, err := Deflate(buf[:size], packed)
			fits := size >= len(want)
			switch {
			case fits && (err != nil || n != len(want) || !bytes.Equal(buf[:n], want)):
				t.Fatalf("%s into %d: %d, %v", p.name, size, n, err)
			case !fits && (!errors.Is(err, ErrTooLong) || n != 0 || consumed != 0):
				t.Fatalf("%s into %d: %d from %d, %v; want ErrTooLong", p.name, size, n, consumed, err)
			}
			for i, b := range buf[size:] {
				if b != 0xa5 {
					t.Fatalf("%s into %d: wrote %d bytes behind the output", p.name, size, i+1)
				}
			}
		}
		if _, _, err := Deflate(make([]byte, len(want)-1), packed); !errors.Is(err, ErrTooLong) {
			t.Errorf("%s: one byte too much gave %v", p.name, err)
		}
	}
}

func TestTruncated(t *testing.T) {
	want := samples(t)["mixed"][:4000]
	dst := make([]byte, len(want))
	for _, p := range packers() {
		packed := p.pack(t, want)
		for n := range packed {
			if m, _, err := Deflate(dst, packed[:n:n]); !errors.Is(err, ErrTruncated) {
				t.Fatalf("%s: the first %d of %d bytes gave %d, %v", p.name, n, len(packed), m, err)
			}
		}
	}
	whole := packZlib(t, want)
	for n := range whole {
		if m, err := Zlib(dst, whole[:n:n]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("the first %d of %d bytes of zlib gave %d, %v", n, len(whole), m, err)
		}
	}
}

// TestFlippedBits: no single wrong bit in a zlib stream goes unnoticed, except
// where it means the same (the window size and level in the header do not
// change the content, but their check bits notice that too).
func TestFlippedBits(t *testing.T) {
	want := samples(t)["mixed"][:2500]
	packed := packZlib(t, want)
	dst := make([]byte, len(want))
	for bit := range 8 * len(packed) {
		packed[bit/8] ^= 1 << (bit % 8)
		if n, err := Zlib(dst, packed); err == nil && !bytes.Equal(dst[:n], want) {
			t.Fatalf("bit %d flipped: accepted with other content", bit)
		}
		packed[bit/8] ^= 1 << (bit % 8)
	}
}

func TestZlibFrame(t *testing.T) {
	want := []byte("a grain, a grain, a grain")
	good := packZlib(t, want)
	sum := len(good) - zlibTrailer
	tests := map[string]struct {
		stream []byte
		err    error
	}{
		"good":           {good, nil},
		"empty":          {nil, ErrTruncated},
		"header only":    {good[:2], ErrTruncated},
		"no checksum":    {good[:sum], ErrTruncated},
		"half checksum":  {good[:sum+2], ErrTruncated},
		"wrong checksum": {append(bytes.Clone(good[:sum]), 0, 0, 0, 1), ErrChecksum},
		"trailing zero":  {append(bytes.Clone(good), 0), ErrTrailing},
		"two streams":    {append(bytes.Clone(good), good...), ErrTrailing},
		"gzip":           {append([]byte{0x1f, 0x8b}, good[2:]...), ErrHeader},
		"dictionary":     {append([]byte{0x78, 0xbb}, good[2:]...), ErrHeader},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := make([]byte, len(want))
			n, err := Zlib(got, tt.stream)
			if !errors.Is(err, tt.err) || (err == nil) != (n == len(want)) {
				t.Fatalf("got %d, %v; want %v", n, err, tt.err)
			}
		})
	}
}

// TestZlibHeader compares the verdict on all 65536 headers with compress/zlib.
func TestZlibHeader(t *testing.T) {
	stream := packZlib(t, []byte("x"))
	for header := range 1 << 16 {
		stream[0], stream[1] = byte(header>>8), byte(header)
		_, wantErr := zlib.NewReader(bytes.NewReader(stream))
		_, err := Zlib(make([]byte, 1), stream)
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("header %04x: %v, compress/zlib says %v", header, err, wantErr)
		}
	}
}

func TestChecksum(t *testing.T) {
	r := rng(2)
	worst := bytes.Repeat([]byte{0xff}, adlerRun+3*adlerStep+5)
	if got, want := checksum(worst), adler32.Checksum(worst); got != want {
		t.Errorf("all ones: %08x, want %08x", got, want)
	}
	for n := range 1000 {
		p := randomBytes(r, n)
		if got, want := checksum(p), adler32.Checksum(p); got != want {
			t.Fatalf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	packed := packZlib(t, samples(t)["text"])
	dst := make([]byte, grain)
	allocs := testing.AllocsPerRun(100, func() {
		if _, err := Zlib(dst, packed); err != nil {
			t.Fatal(err)
		}
	})
	if allocs >= 1 {
		t.Errorf("%v allocations per call, want none", allocs)
	}
}

// TestConcurrent is for the race detector: calls share the pool and the tables.
func TestConcurrent(t *testing.T) {
	all := samples(t)
	var wg sync.WaitGroup
	for _, want := range all {
		packed := packWith(t, want, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, 1) })
		wg.Go(func() {
			got := make([]byte, len(want))
			for range 5 {
				if n, _, err := Deflate(got, packed); err != nil || !bytes.Equal(got[:n], want) {
					t.Errorf("%d, %v", n, err)
				}
			}
		})
	}
	wg.Wait()
}

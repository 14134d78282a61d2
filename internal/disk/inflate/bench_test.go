package inflate

import (
	"bytes"
	"compress/zlib"
	"hash/adler32"
	"io"
	"testing"

	kzlib "github.com/klauspost/compress/zlib"
)

// BenchmarkZlib inflates grains of real text and executables, packed at level 6,
// by this package and by the two readers that a Go program would use instead.
// Compare the three within one run: the machine's rate cancels out.
func BenchmarkZlib(b *testing.B) {
	var packed [][]byte
	text, elf := sourceText(b), executable(b)
	for i := range 16 {
		packed = append(packed, packZlib(b, text[i*grain:][:grain]), packZlib(b, elf[(i+4)*grain:][:grain]))
	}
	dst := make([]byte, grain)
	std, err := zlib.NewReader(bytes.NewReader(packed[0]))
	if err != nil {
		b.Fatal(err)
	}
	klauspost, err := kzlib.NewReader(bytes.NewReader(packed[0]))
	if err != nil {
		b.Fatal(err)
	}
	in := bytes.NewReader(nil)
	decoders := map[string]func(p []byte) error{
		"own": func(p []byte) error {
			_, err := Zlib(dst, p)
			return err
		},
		"std": func(p []byte) error {
			in.Reset(p)
			return readGrain(std, std.(zlib.Resetter).Reset(in, nil), dst)
		},
		"klauspost": func(p []byte) error {
			in.Reset(p)
			return readGrain(klauspost, klauspost.(kzlib.Resetter).Reset(in, nil), dst)
		},
	}
	for name, decode := range decoders {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(packed) * grain))
			for b.Loop() {
				for _, p := range packed {
					if err := decode(p); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

// readGrain reads the one grain and the end of the stream, so that the checksum
// is compared too.
func readGrain(r io.Reader, reset error, dst []byte) error {
	if reset != nil {
		return reset
	}
	if _, err := io.ReadFull(r, dst); err != nil {
		return err
	}
	if _, err := r.Read(dst[:1]); err != io.EOF {
		return ErrTrailing
	}
	return nil
}

func BenchmarkChecksum(b *testing.B) {
	p := sourceText(b)[:grain]
	for name, sum := range map[string]func([]byte) uint32{"own": checksum, "std": adler32.Checksum} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(grain)
			for b.Loop() {
				sum(p)
			}
		})
	}
}

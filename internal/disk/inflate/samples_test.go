package inflate

import (
	"bytes"
	"compress/flate"
	"compress/zlib"
	"go/build"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	kflate "github.com/klauspost/compress/flate"
)

// grain is the size of what the pipeline inflates: 64 KiB.
const grain = 64 << 10

// rng returns the same stream of randomness in every run.
func rng(seed byte) *rand.Rand {
	return rand.New(rand.NewChaCha8([32]byte{seed}))
}

// samples returns one grain of each kind of content: what disks hold, and what
// exercises each way of copying a match.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	r := rng(1)
	all := map[string][]byte{
		"empty":  {},
		"one":    {42},
		"zeros":  make([]byte, grain),
		"random": randomBytes(r, grain),
		"text":   sourceText(t)[:grain],
		"elf":    executable(t)[grain : 2*grain],
	}
	for period := 1; period <= 40; period += 1 + period/8*4 {
		unit := randomBytes(r, period)
		all["period "+string(rune('0'+period))] = bytes.Repeat(unit, grain/period)
	}
	all["mixed"] = mixed(r, all)
	return all
}

// mixed alternates short pieces of the other samples.
func mixed(r *rand.Rand, from map[string][]byte) []byte {
	var names []string
	for name := range from {
		names = append(names, name)
	}
	slices.Sort(names)
	var out []byte
	for len(out) < grain {
		p := from[names[r.IntN(len(names))]]
		if len(p) < 600 {
			continue
		}
		at := r.IntN(len(p) - 500)
		out = append(out, p[at:at+1+r.IntN(400)]...)
	}
	return out[:grain]
}

func randomBytes(r *rand.Rand, n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}

// sourceText returns source code of the Go distribution: real text that every
// machine which runs the tests has.
func sourceText(t testing.TB) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(build.Default.GOROOT, "src", "net", "http", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	var out []byte
	for _, f := range files {
		p, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p...)
	}
	if len(out) < 16*grain {
		t.Fatalf("found only %d bytes of Go source below GOROOT; the tests need it as sample text", len(out))
	}
	return out
}

// executable returns the test binary: a real executable of a few MiB.
func executable(t testing.TB) []byte {
	t.Helper()
	name, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// packer is a deflate encoder at one level.
type packer struct {
	name string
	pack func(t testing.TB, p []byte) []byte
}

// packers returns the standard library's and klauspost's encoders at all levels:
// stored, Huffman only, fixed and dynamic blocks.
func packers() []packer {
	var all []packer
	for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
		all = append(all,
			packer{"std" + string(rune('0'+level)), func(t testing.TB, p []byte) []byte {
				return packWith(t, p, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, level) })
			}},
			packer{"klauspost" + string(rune('0'+level)), func(t testing.TB, p []byte) []byte {
				return packWith(t, p, func(w io.Writer) (io.WriteCloser, error) { return kflate.NewWriter(w, level) })
			}})
	}
	return all
}

func packWith(t testing.TB, p []byte, open func(io.Writer) (io.WriteCloser, error)) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := open(&out)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// packZlib makes a zlib stream at the default level.
func packZlib(t testing.TB, p []byte) []byte {
	t.Helper()
	return packWith(t, p, func(w io.Writer) (io.WriteCloser, error) { return zlib.NewWriter(w), nil })
}

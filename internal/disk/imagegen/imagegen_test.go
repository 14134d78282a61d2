package imagegen

import (
	"bytes"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// memory is an io.WriterAt over bytes; writes of holes are noticed.
type memory struct {
	mu    sync.Mutex
	data  []byte
	fault error
}

func (m *memory) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return copy(m.data[off:], p), m.fault
}

func generate(t *testing.T, o Options) []byte {
	t.Helper()
	m := &memory{data: make([]byte, o.Size)}
	if err := Generate(m, o); err != nil {
		t.Fatal(err)
	}
	return m.data
}

func image(t *testing.T, o Options) *Image {
	t.Helper()
	m, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestGrainSizeIsThePipelines(t *testing.T) {
	if GrainSize != disk.GrainSize {
		t.Errorf("%d, disk has %d", GrainSize, disk.GrainSize)
	}
}

// TestSameEverywhere pins the content: figures of two machines or versions are
// comparable only while this sum stands.
func TestSameEverywhere(t *testing.T) {
	const want = "e018250795a3080e51c1eb2c8c8944e080df7e078928006381fed9fe6399fb18"
	sum := sha256.Sum256(generate(t, Options{Size: 12<<20 + 512, Seed: 1}))
	if got := hex.EncodeToString(sum[:]); got != want {
		t.Errorf("the image of seed 1 has SHA-256 %s, want %s", got, want)
	}
}

func TestSeedsDiffer(t *testing.T) {
	const size = 4 << 20
	base := generate(t, Options{Size: size, Seed: 1})
	for _, seed := range []uint64{0, 2, 1 << 56, 1<<56 + 1, 1<<64 - 1} {
		if bytes.Equal(base, generate(t, Options{Size: size, Seed: seed})) {
			t.Errorf("seeds 1 and %d give the same image", seed)
		}
	}
}

// TestGrainIsPure reads grains backwards, from two images, into used memory.
func TestGrainIsPure(t *testing.T) {
	for _, size := range []int64{0, 1, 512, GrainSize - 1, GrainSize, GrainSize + 1, 9*GrainSize + 513, 20<<20 + 512} {
		o := Options{Size: size, Seed: 7}
		whole, m := generate(t, o), image(t, o)
		for i := grains(size) - 1; i >= 0; i-- {
			want := whole[i*GrainSize : min((i+1)*GrainSize, size)]
			got := bytes.Repeat([]byte{0xa5}, len(want))
			zero := m.Grain(i, got)
			if zero {
				clear(got)
			}
			if !bytes.Equal(got, want) || zero != !bytes.ContainsFunc(want, func(r rune) bool { return r != 0 }) {
				t.Fatalf("size %d: grain %d alone (hole: %v) differs from what Generate wrote", size, i, zero)
			}
		}
	}
}

// TestMix holds the image to what it stands for, for any seed and size.
func TestMix(t *testing.T) {
	for _, o := range []Options{{Size: 96 << 20, Seed: 1}, {Size: 256 << 20, Seed: 2}, {Size: 4 << 30, Seed: 3}} {
		m := image(t, o)
		n := grains(o.Size)
		step := max(1, n/400) // compressing is what takes time
		var holes, sampled int64
		var raw, packed, softRaw, softPacked int
		buf := make([]byte, GrainSize)
		deflated := deflater(t)
		for i := range n {
			k := m.kindOf(i)
			if k == hole {
				holes++
				continue
			}
			if i%step != 0 {
				continue
			}
			sampled++
			m.Grain(i, buf)
			size := deflated(buf)
			raw, packed = raw+len(buf), packed+size
			if k != compressed {
				softRaw, softPacked = softRaw+len(buf), softPacked+size
			}
		}
		within(t, o, "holes", float64(holes)/float64(n), 0.57, 0.63)
		within(t, o, "ratio of what is compressible", float64(softPacked)/float64(softRaw), 0.35, 0.40)
		within(t, o, "ratio of all that is not a hole", float64(packed)/float64(raw), 0.52, 0.60)
		if sampled < 120 {
			t.Errorf("%+v: only %d grains looked at", o, sampled)
		}
	}
}

func within(t *testing.T, o Options, what string, got, low, high float64) {
	t.Helper()
	t.Logf("%+v: %s %.3f", o, what, got)
	if got < low || got > high {
		t.Errorf("%+v: %s is %.3f, want %.2f to %.2f", o, what, got, low, high)
	}
}

// deflater returns a function that tells the size of a zlib stream.
func deflater(t *testing.T) func(p []byte) int {
	t.Helper()
	var out bytes.Buffer
	w := zlib.NewWriter(&out)
	return func(p []byte) int {
		out.Reset()
		w.Reset(&out)
		if _, err := w.Write(p); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return out.Len()
	}
}

func TestHolesAreRuns(t *testing.T) {
	m := image(t, Options{Size: 8 << 30, Seed: 4})
	var length, longestHole, short int64
	for i := range grains(m.size) {
		if m.kindOf(i) == hole {
			length++
			continue
		}
		longestHole = max(longestHole, length)
		if length > 0 && length < 16 {
			short++
		}
		length = 0
	}
	if longestHole < 512 || longestHole > 1024 || short < 20 {
		t.Errorf("the longest hole has %d grains, %d have less than 16; want both long and short ones up to 64 MiB", longestHole, short)
	}
}

func TestFileIsSparse(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "disk.raw"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	const size = 32<<20 + 512
	if err := Generate(f, Options{Size: size, Seed: 5}); err != nil {
		t.Fatal(err)
	}
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	taken := info.Sys().(*syscall.Stat_t).Blocks * 512
	if info.Size() != size || taken < size/3 || taken > size/2 {
		t.Errorf("%d bytes that take %d on the disk, want %d that take some 40 %%", info.Size(), taken, size)
	}
}

func TestErrors(t *testing.T) {
	for _, size := range []int64{-1, maxSize + 1} {
		if _, err := New(Options{Size: size}); err == nil {
			t.Errorf("a size of %d was taken", size)
		}
	}
	broken := errors.New("broken")
	if err := Generate(&memory{data: make([]byte, 1<<20), fault: broken}, Options{Size: 1 << 20}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

func BenchmarkGrain(b *testing.B) {
	m, err := New(Options{Size: 4 << 30, Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	buf := make([]byte, GrainSize)
	b.SetBytes(GrainSize)
	i := int64(0)
	for b.Loop() {
		m.Grain(i%grains(m.size), buf)
		i++
	}
}

package vmdk

import (
	"bytes"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/disk"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// memObject is an object in memory. fail makes writes fail once it is that
// long; synced is what a power cut leaves for certain.
type memObject struct {
	mu     sync.Mutex
	data   []byte
	synced int
	fail   int
}

var errDisk = errors.New("planted write error")

func (o *memObject) WriteAt(p []byte, off int64) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if need := int(off) + len(p); need > len(o.data) {
		o.data = append(o.data, make([]byte, need-len(o.data))...)
	}
	n := copy(o.data[off:], p)
	if o.fail > 0 && len(o.data) > o.fail {
		return n, errDisk
	}
	return n, nil
}

func (o *memObject) Truncate(size int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.data = append(o.data[:min(int(size), len(o.data))], make([]byte, max(0, int(size)-len(o.data)))...)
	o.synced = min(o.synced, len(o.data))
	return nil
}

func (o *memObject) Sync() error {
	o.synced = len(o.data)
	return nil
}

// content makes size bytes of disk: text, noise, zeros and mixtures, by grain;
// mostly zeros if it is large.
func content(size int, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, size)
	kinds := 6
	if size > 8<<20 {
		kinds = 30
	}
	for off := 0; off < size; off += disk.GrainSize {
		g := p[off:min(size, off+disk.GrainSize)]
		switch r.IntN(kinds) {
		case 0:
			noise(r, g)
		case 1:
			noise(r, g[:len(g)/2])
		case 2, 3:
			word := fmt.Sprintf("block %d of a text; ", r.Uint32())
			copy(g, strings.Repeat(word, len(g)/len(word)+1))
		}
	}
	noise(r, p[:min(size, 100)]) // never an empty first or last grain
	noise(r, p[max(0, size-3):])
	return p
}

func noise(r *rand.Rand, p []byte) {
	for i := range p {
		p[i] = byte(r.Uint32()) | 1
	}
}

func rawSource(p []byte) disk.Source {
	return disk.NewRawSource(bytes.NewReader(p), disk.Info{Size: int64(len(p))})
}

// root is the digest of a source's content.
func root(t testing.TB, src disk.Source) disk.Hash {
	t.Helper()
	res, err := disk.Measure(t.Context(), src, nil)
	if err != nil {
		t.Fatalf("read the source: %v", err)
	}
	return res.Root
}

// build writes content as a file of Target.
func build(t testing.TB, p []byte) []byte {
	t.Helper()
	var obj memObject
	target, err := NewTarget(&obj, TargetOptions{Size: int64(len(p)), CID: 0x12345678})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := disk.Copy(t.Context(), target, rawSource(p), disk.CopyOptions{}); err != nil {
		t.Fatal(err)
	}
	return obj.data
}

// streamed is a disk.Source of a Stream.
type streamed struct{ s *Stream }

func (s streamed) Info() disk.Info { return disk.Info{Size: s.s.Size()} }
func (s streamed) Close() error    { return nil }
func (s streamed) Blocks(context.Context, int64) iter.Seq2[disk.Block, error] {
	return s.s.Blocks()
}

// inflated collects the content of blocks by the standard library's zlib.
func inflated(size int64, blocks iter.Seq2[disk.Block, error]) ([]byte, error) {
	if size > 1<<26 {
		return nil, errors.New("too large for a test")
	}
	out := make([]byte, size)
	for b, err := range blocks {
		if err != nil {
			return nil, err
		}
		if b.Enc == disk.Raw {
			copy(out[b.Off:], b.Data)
			b.Release()
			continue
		}
		z, err := zlib.NewReader(bytes.NewReader(b.Data))
		if err != nil {
			return nil, err
		}
		plain, err := io.ReadAll(io.LimitReader(z, disk.GrainSize+1))
		if err != nil {
			return nil, err
		}
		if int64(len(plain)) != b.Len {
			return nil, errors.New("a grain of the wrong length")
		}
		copy(out[b.Off:], plain)
		b.Release()
	}
	return out, nil
}

// readStream reads a whole file as a stream.
func readStream(file []byte, size int64) ([]byte, error) {
	s, err := ReadStream(bytes.NewReader(file), StreamOptions{Size: size})
	if err != nil {
		return nil, err
	}
	return inflated(s.Size(), s.Blocks())
}

// readRandom reads a whole file by its tables.
func readRandom(ctx context.Context, file []byte) ([]byte, error) {
	src, err := Open(bytes.NewReader(file), int64(len(file)), OpenOptions{})
	if err != nil {
		return nil, err
	}
	return inflated(src.Info().Size, src.Blocks(ctx, 0))
}

// qemuImg runs the oracle.
func qemuImg(t testing.TB, args ...string) error {
	t.Helper()
	path, err := exec.LookPath("qemu-img")
	if err != nil {
		t.Fatal("qemu-img is missing: apt-get install qemu-utils")
	}
	out, err := exec.CommandContext(t.Context(), path, args...).CombinedOutput()
	if err != nil {
		t.Logf("qemu-img %v: %v\n%s", args, err, out)
	}
	return err
}

// qemuVMDK converts a raw file with qemu-img and returns the path of the result.
func qemuVMDK(t testing.TB, raw, options string) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "disk.vmdk")
	if err := qemuImg(t, "convert", "-f", "raw", "-O", "vmdk", "-o", options, raw, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// writeFile puts bytes into a new file and returns its path.
func writeFile(t testing.TB, name string, p []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, p, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// openFile opens a file for the length of the test.
func openFile(t testing.TB, path string) (*os.File, int64) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	st, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	return f, st.Size()
}

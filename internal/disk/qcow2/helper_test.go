package qcow2_test

import (
	"bytes"
	"compress/zlib"
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/klauspost/compress/zstd"
	"go.uber.org/goleak"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// grain makes the content of one grain of a generated disk; nil is zero.
type grain func(i int64) []byte

func random(i int64) []byte {
	p := make([]byte, disk.GrainSize)
	r := rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
	_, _ = r.Read(p)
	return p
}

// text compresses well, with matches from all over the window of 32 KiB.
func text(i int64) []byte {
	r := rand.New(rand.NewPCG(uint64(i), 2))
	var b bytes.Buffer
	for b.Len() < disk.GrainSize {
		fmt.Fprintf(&b, "%06d the quick brown fox %x\n", r.IntN(1e6), r.IntN(1<<20))
		if b.Len() > 24<<10 {
			at := b.Len() - r.IntN(8<<10) - 16<<10
			b.Write(bytes.Clone(b.Bytes()[at : at+r.IntN(600)]))
		}
	}
	return b.Bytes()[:disk.GrainSize]
}

func zeros(int64) []byte { return nil }

func half(i int64) []byte {
	p := random(i)
	clear(p[:len(p)/2])
	return p
}

// alternating changes between all kinds, so that packed and plain clusters of
// many sizes meet.
func alternating(i int64) []byte {
	return [...]grain{text, random, zeros, half, random, text, text}[i%7](i)
}

// fake is a disk that a test describes by its grains.
type fake struct {
	size    int64
	content grain
	only    []int64 // the grains that hold data; nil: all
	enc     func(p []byte) (disk.Encoding, []byte)
}

func (f *fake) Info() disk.Info { return disk.Info{Key: "test", Size: f.size} }
func (f *fake) Close() error    { return nil }

// at returns the content of a grain, cut to the size of the disk.
func (f *fake) at(i int64) []byte {
	p := f.content(i)
	return p[:min(int64(len(p)), f.size-i*disk.GrainSize)]
}

func (f *fake) grains() iter.Seq[int64] {
	return func(yield func(int64) bool) {
		if f.only != nil {
			for _, i := range f.only {
				if !yield(i) {
					return
				}
			}
			return
		}
		for i := int64(0); i*disk.GrainSize < f.size; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

func (f *fake) Blocks(_ context.Context, from int64) iter.Seq2[disk.Block, error] {
	return func(yield func(disk.Block, error) bool) {
		for i := range f.grains() {
			p := f.at(i)
			off := i * disk.GrainSize
			if len(p) == 0 || off < from {
				continue
			}
			enc, data := disk.Raw, p
			if f.enc != nil {
				enc, data = f.enc(p)
			}
			buf := disk.GetBuffer()
			data = append(buf.B[:0], data...)
			if !yield(disk.NewBlock(off, int64(len(p)), enc, data, buf), nil) {
				return
			}
		}
	}
}

// writeRaw writes the disk as a sparse raw image.
func (f *fake) writeRaw(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.raw")
	file, err := os.Create(path)
	check(t, err)
	defer file.Close()
	check(t, file.Truncate(f.size))
	for i := range f.grains() {
		_, err := file.WriteAt(f.at(i), i*disk.GrainSize)
		check(t, err)
	}
	return path
}

func asZlib(p []byte) (disk.Encoding, []byte) {
	var b bytes.Buffer
	w := zlib.NewWriter(&b)
	_, _ = w.Write(p)
	_ = w.Close()
	return disk.Zlib, b.Bytes()
}

func asDeflate(p []byte) (disk.Encoding, []byte) {
	_, z := asZlib(p)
	return disk.Deflate, append(z[2:len(z)-4], "some padding"...)
}

func asZstd(p []byte) (disk.Encoding, []byte) {
	w, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		panic(err)
	}
	return disk.Zstd, w.EncodeAll(p, nil)
}

// write copies a source to a new image and returns its path and the root.
func write(t *testing.T, src disk.Source, o qcow2.TargetOptions) (string, disk.Hash) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "disk.qcow2")
	file, err := os.Create(path)
	check(t, err)
	defer file.Close()
	o.Size = src.Info().Size
	target, err := qcow2.NewTarget(file, o)
	check(t, err)
	res, err := disk.Copy(t.Context(), target, src, disk.CopyOptions{})
	check(t, err)
	return path, res.Root
}

// root reads an image with our reader.
func root(t *testing.T, path string) disk.Hash {
	t.Helper()
	file, err := os.Open(path)
	check(t, err)
	defer file.Close()
	fi, err := file.Stat()
	check(t, err)
	src, err := qcow2.Open(file, fi.Size())
	check(t, err)
	defer src.Close()
	res, err := disk.Measure(t.Context(), src, nil)
	check(t, err)
	return res.Root
}

func rawRoot(t *testing.T, path string) disk.Hash {
	t.Helper()
	file, err := os.Open(path)
	check(t, err)
	defer file.Close()
	fi, err := file.Stat()
	check(t, err)
	res, err := disk.Measure(t.Context(), disk.NewRawSource(file, disk.Info{Size: fi.Size()}), nil)
	check(t, err)
	return res.Root
}

// tool runs qemu-img or qemu-io and fails the test unless it succeeds.
func tool(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Fatalf("%s is missing: apt-get install qemu-utils", name)
	}
	out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// oracle has QEMU check the image, leaks included, and compare it with the raw one.
func oracle(t *testing.T, raw, image string) {
	t.Helper()
	tool(t, "qemu-img", "check", "-f", "qcow2", image) // exit code 2: errors, 3: leaks
	tool(t, "qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, image)
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v", err)
	}
}

package vmdk

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// sizes are the lengths where a codec may be off by one.
var sizes = []int{
	512, 64<<10 - 512, 64 << 10, 64<<10 + 512, 32 << 20, 32<<20 + 64<<10, 70<<20 + 3*512,
}

// rawFile makes a raw image in a file: content, or a sparse one of 1 GiB + 512.
func rawFile(t *testing.T, size int) string {
	t.Helper()
	if size < 1<<30 {
		return writeFile(t, "disk.raw", content(size, uint64(size)))
	}
	path := writeFile(t, "disk.raw", nil)
	f, err := os.OpenFile(path, os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, off := range []int{0, 33 << 20, 700<<20 + 64<<10, size - 512} {
		if _, err := f.WriteAt(bytes.Repeat([]byte{0xa5, byte(off >> 16)}, 256), int64(off)); err != nil {
			t.Fatal(err)
		}
	}
	return path
}

func allSizes() []int { return append(sizes, 1<<30+512) }

func TestTargetIsReadByQemu(t *testing.T) {
	for _, size := range allSizes() {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			raw := rawFile(t, size)
			f, _ := openFile(t, raw)
			src := disk.NewRawSource(f, disk.Info{Size: int64(size)})
			path := filepath.Join(t.TempDir(), "out.vmdk")
			out, err := os.Create(path)
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			target, err := NewTarget(out, TargetOptions{Size: int64(size)})
			if err != nil {
				t.Fatal(err)
			}
			want, err := disk.Copy(t.Context(), target, src, disk.CopyOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if err := qemuImg(t, "compare", "-f", "raw", "-F", "vmdk", raw, path); err != nil {
				t.Fatal("qemu-img finds another content")
			}
			checkReaders(t, path, want.Root)
		})
	}
}

// checkReaders reads a streamOptimized file in both ways.
func checkReaders(t *testing.T, path string, want disk.Hash) {
	t.Helper()
	f, n := openFile(t, path)
	src, err := Open(f, n, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if root(t, src) != want {
		t.Error("Open reads another content")
	}
	s, err := ReadStream(io.NewSectionReader(f, 0, n), StreamOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if root(t, streamed{s}) != want {
		t.Error("ReadStream reads another content")
	}
}

// TestOracleBites is the control: qemu-img compare sees one changed byte.
func TestOracleBites(t *testing.T) {
	p := content(1<<20, 7)
	vmdk := writeFile(t, "disk.vmdk", build(t, p))
	p[len(p)-1] ^= 1
	if qemuImg(t, "compare", "-f", "raw", "-F", "vmdk", writeFile(t, "disk.raw", p), vmdk) == nil {
		t.Fatal("qemu-img compare accepts a changed disk")
	}
}

func TestReadersReadQemu(t *testing.T) {
	for _, size := range allSizes() {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			raw := rawFile(t, size)
			f, _ := openFile(t, raw)
			want := root(t, disk.NewRawSource(f, disk.Info{Size: int64(size)}))
			t.Run("streamOptimized", func(t *testing.T) {
				checkReaders(t, qemuVMDK(t, raw, "subformat=streamOptimized"), want)
			})
			for _, options := range []string{"subformat=monolithicSparse", "subformat=monolithicSparse,zeroed_grain=on", "subformat=monolithicFlat"} {
				t.Run(options, func(t *testing.T) {
					path := qemuVMDK(t, raw, options)
					f, n := openFile(t, path)
					src, err := Open(f, n, OpenOptions{OpenExtent: func(name string) (io.ReaderAt, int64, error) {
						data, size := openFile(t, filepath.Join(filepath.Dir(path), name))
						return data, size, nil
					}})
					if err != nil {
						t.Fatal(err)
					}
					if root(t, src) != want {
						t.Error("Open reads another content")
					}
				})
			}
		})
	}
}

// TestPassThrough copies grains from one file to another without deflating.
func TestPassThrough(t *testing.T) {
	for _, size := range sizes {
		p := content(size, 3)
		s, err := ReadStream(bytes.NewReader(build(t, p)), StreamOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var obj memObject
		target, err := NewTarget(&obj, TargetOptions{Size: s.Size(), CID: 0x12345678})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := disk.Copy(t.Context(), target, streamed{s}, disk.CopyOptions{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(obj.data, build(t, p)) {
			t.Errorf("size %d: the copy of a file is another file", size)
		}
	}
}

// TestForeignLastGrain takes a zlib block for the short last grain, as qemu-img
// writes it.
func TestForeignLastGrain(t *testing.T) {
	p := content(disk.GrainSize+512, 5)
	path := qemuVMDK(t, writeFile(t, "disk.raw", p), "subformat=streamOptimized")
	f, n := openFile(t, path)
	src, err := Open(f, n, OpenOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for b, err := range src.Blocks(t.Context(), disk.GrainSize) {
		if err != nil {
			t.Fatal(err)
		}
		if b.Enc != disk.Raw || b.Off != disk.GrainSize || b.Len != 512 || !bytes.Equal(b.Data, p[disk.GrainSize:]) {
			t.Errorf("last grain: encoding %d, offset %d, length %d", b.Enc, b.Off, b.Len)
		}
		b.Release()
	}
}

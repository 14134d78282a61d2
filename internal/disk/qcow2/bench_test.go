package qcow2_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
	"github.com/hypersdk/hypersdk/internal/disk/qcow2"
)

// BenchmarkPut measures what the plain format costs beside the floor: the same
// bytes copied to a buffer of 1 MiB and written from there.
func BenchmarkPut(b *testing.B) {
	const grains = 4096 // 256 MiB, written over and over
	content := make([][]byte, 64)
	for i := range content {
		content[i] = random(int64(i))
	}
	open := func(b *testing.B) *os.File {
		b.Helper()
		file, err := os.Create(filepath.Join(b.TempDir(), "disk"))
		check(b, err)
		b.Cleanup(func() { _ = file.Close() })
		b.SetBytes(disk.GrainSize)
		b.ReportAllocs()
		return file
	}
	b.Run("floor", func(b *testing.B) {
		file := open(b)
		buf := make([]byte, 0, mib)
		for i := 0; b.Loop(); i = (i + 1) % grains {
			if buf = append(buf, content[i%64]...); len(buf) == cap(buf) {
				_, err := file.WriteAt(buf, int64(i+1)*disk.GrainSize-mib)
				check(b, err)
				buf = buf[:0]
			}
		}
	})
	b.Run("plain", func(b *testing.B) {
		file := open(b)
		o := qcow2.TargetOptions{Size: grains * disk.GrainSize}
		var target *qcow2.Target
		for i := 0; b.Loop(); i = (i + 1) % grains {
			if i == 0 {
				var err error
				target, err = qcow2.NewTarget(file, o)
				check(b, err)
			}
			check(b, target.Put(b.Context(), disk.NewBlock(int64(i)*disk.GrainSize, disk.GrainSize, disk.Raw, content[i%64], nil)))
		}
	})
}

// BenchmarkEncode measures the compression of one grain.
func BenchmarkEncode(b *testing.B) {
	content := text(1)
	for _, c := range []struct {
		name string
		o    qcow2.TargetOptions
	}{
		{"zlib", qcow2.TargetOptions{Compression: qcow2.Zlib}},
		{"zstd", qcow2.TargetOptions{Compression: qcow2.Zstd}},
	} {
		b.Run(c.name, func(b *testing.B) {
			target, err := qcow2.NewTarget(&sparse{}, c.o)
			check(b, err)
			b.SetBytes(disk.GrainSize)
			b.ReportAllocs()
			var block disk.Block
			for b.Loop() {
				block = disk.NewBlock(0, disk.GrainSize, disk.Raw, content, nil)
				check(b, target.Encode(&block))
				block.Release()
			}
		})
	}
}

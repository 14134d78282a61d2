package vmdk

import (
	"bytes"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
)

// benchFile is 64 MiB of disk; bytes per second below are bytes of the file.
func benchFile(b *testing.B) []byte {
	b.Helper()
	p := make([]byte, 64<<20)
	for off := 0; off < len(p); off += disk.GrainSize {
		copy(p[off:], content(disk.GrainSize/2, uint64(off)))
	}
	return build(b, p)
}

func BenchmarkStream(b *testing.B) {
	file := benchFile(b)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		s, err := ReadStream(bytes.NewReader(file), StreamOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := drain(s.Blocks()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	file := benchFile(b)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		src, err := Open(bytes.NewReader(file), int64(len(file)), OpenOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := drain(src.Blocks(b.Context(), 0)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPut is framing and SHA-256 of grains that pass through.
func BenchmarkPut(b *testing.B) {
	data := make([]byte, 30000)
	b.SetBytes(int64(tableEntries * len(data)))
	b.ReportAllocs()
	for b.Loop() {
		target, err := NewTarget(discardObject{}, TargetOptions{Size: tableSpan})
		if err != nil {
			b.Fatal(err)
		}
		for i := range int64(tableEntries) {
			if err := target.Put(b.Context(), disk.NewBlock(i*disk.GrainSize, disk.GrainSize, disk.Zlib, data, nil)); err != nil {
				b.Fatal(err)
			}
		}
		if err := target.Finish(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	target, err := NewTarget(discardObject{}, TargetOptions{Size: tableSpan})
	if err != nil {
		b.Fatal(err)
	}
	plain := content(disk.GrainSize, 51)
	b.SetBytes(disk.GrainSize)
	b.ReportAllocs()
	for b.Loop() {
		block := disk.NewBlock(0, disk.GrainSize, disk.Raw, plain, nil)
		if err := target.Encode(&block); err != nil {
			b.Fatal(err)
		}
		block.Release()
	}
}

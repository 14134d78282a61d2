package vmdk

import (
	"bytes"
	"io"
	"strings"
	"testing"

	"github.com/hypersdk/hypersdk/internal/disk"
)

func seeds(f *testing.F) {
	f.Helper()
	small := build(f, bytes.Repeat([]byte{1}, 512))
	f.Add(small)
	f.Add(frontForm(small))
	f.Add(frontForm(build(f, bytes.Repeat([]byte{1}, 2*disk.GrainSize+512))))
	f.Add(plainSparse(disk.GrainSize))
	f.Add(plainSparse(1 << 40))
	f.Add([]byte(flatText))
}

// FuzzStream: no input makes the stream reader panic or allocate much.
func FuzzStream(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		bounded(t, len(file), func() {
			s, err := ReadStream(bytes.NewReader(file), StreamOptions{})
			if err != nil {
				return
			}
			next := int64(0)
			for b, err := range s.Blocks() {
				if err == nil && (b.Off < next || b.Off+b.Len > s.Size() || b.Len > disk.GrainSize || b.Len <= 0) {
					t.Errorf("block %d+%d after %d of %d", b.Off, b.Len, next, s.Size())
				}
				next = b.Off + b.Len
				b.Release()
			}
		})
	})
}

// FuzzOpen: the same for access by tables; and both readers, where they accept
// a file, agree on its content.
func FuzzOpen(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, file []byte) {
		bounded(t, len(file), func() {
			src, err := Open(bytes.NewReader(file), int64(len(file)), OpenOptions{
				OpenExtent: func(string) (io.ReaderAt, int64, error) { return strings.NewReader("data"), 4, nil },
			})
			if err == nil {
				_ = drain(src.Blocks(t.Context(), 0))
			}
		})
		random, err := readRandom(t.Context(), file)
		if err != nil {
			return
		}
		if stream, err := readStream(file, 0); err == nil && !bytes.Equal(stream, random) {
			t.Error("the readers disagree")
		}
	})
}

// FuzzReplay: no record makes Replay panic.
func FuzzReplay(f *testing.F) {
	target, err := NewTarget(new(memObject), TargetOptions{Size: 1 << 30})
	if err != nil {
		f.Fatal(err)
	}
	for _, off := range []int64{0, 100 << 20} {
		if err := target.Put(f.Context(), disk.NewBlock(off, disk.GrainSize, disk.Zlib, []byte{1}, nil)); err != nil {
			f.Fatal(err)
		}
		rec, err := target.Mark()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(rec)
	}
	f.Fuzz(func(t *testing.T, rec []byte) {
		target, err := NewTarget(discardObject{}, TargetOptions{Size: 1 << 30})
		if err != nil {
			t.Fatal(err)
		}
		if target.Replay([][]byte{rec, rec}) == nil {
			_ = target.Put(t.Context(), disk.NewBlock(1<<30-disk.GrainSize, disk.GrainSize, disk.Zlib, []byte{1}, nil))
			_ = target.Finish(t.Context())
		}
	})
}
